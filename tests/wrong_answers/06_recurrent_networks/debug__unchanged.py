# fails with: it has to keep its state
def fixed_last_state(x, lengths, W, U, b):
    h = np.zeros((len(x), len(b)))
    for t in range(max(lengths)):
        h = np.tanh(x[:, t] @ W + h @ U + b)
    return h
