# fails with: set to zero
def fixed_last_state(x, lengths, W, U, b):
    h = np.zeros((len(x), len(b)))
    for t in range(x.shape[1]):
        running = (np.asarray(lengths) > t + 1)[:, None]
        h = np.where(running, np.tanh(x[:, t] @ W + h @ U + b), h)
    return h
