# fails with: stop when max_length is reached
def greedy_decode(next_logits, start, end, max_length):
    tokens = [start]
    while (token := int(np.argmax(next_logits(list(tokens))))) != end and len(tokens) <= max_length:
        tokens.append(token)
    return tokens[1:]
