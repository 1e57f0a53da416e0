# fails with: was set to zero
def fixed_last_state(x, lengths, W, U, b):
    h = np.zeros((len(x), len(b)))
    for t in range(x.shape[1]):
        running = (np.asarray(lengths) > t)[:, None]
        h = np.where(running, np.tanh(x[:, t] @ W + h @ U + b), 0)
    return h
