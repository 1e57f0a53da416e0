# fails with: start token does not belong
def greedy_decode(next_logits, start, end, max_length):
    tokens = [start]
    while len(tokens) <= max_length:
        token = int(np.argmax(next_logits(list(tokens))))
        if token == end:
            break
        tokens.append(token)
    return tokens
