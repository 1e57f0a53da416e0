# fails with: wrong for a sequence of length
def fixed_last_state(x, lengths, W, U, b):
    h = np.zeros((len(x), len(b)))
    for t in range(x.shape[1]):
        running = x[:, t].any(axis=1, keepdims=True) & (np.asarray(lengths) > 0)[:, None]
        h = np.where(running, np.tanh(x[:, t] @ W + h @ U + b), h)
    return h
