# fails with: end token does not belong
def greedy_decode(next_logits, start, end, max_length):
    tokens = [start]
    while len(tokens) <= max_length:
        token = int(np.argmax(next_logits(list(tokens))))
        tokens.append(token)
        if token == end:
            break
    return tokens[1:]
