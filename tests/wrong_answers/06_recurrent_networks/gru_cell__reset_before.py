# fails with: the reset gate multiplies after the product
def gru_cell(x, h, W, U, b):
    units = h.shape[1]
    gates = expit(x @ W + h @ U + b.sum(axis=0))
    z, r = gates[:, :units], gates[:, units : 2 * units]
    candidate = np.tanh(x @ W[:, 2 * units :] + (r * h) @ U[:, 2 * units :] + b.sum(axis=0)[2 * units :])
    return z * h + (1 - z) * candidate
