# fails with: all tokens written so far
def greedy_decode(next_logits, start, end, max_length):
    tokens = [start]
    while len(tokens) <= max_length:
        token = int(np.argmax(next_logits(tokens[-1:])))
        if token == end:
            break
        tokens.append(token)
    return tokens[1:]
