# fails with: 0.5 · 1 + 0.5 · tanh(0.5 · 2)
def gru_cell(x, h, W, U, b):
    x_z, x_r, x_h = np.split(x @ W + b[0], 3, axis=1)
    h_z, h_r, h_h = np.split(h @ U + b[1], 3, axis=1)
    z, r = expit(x_z + h_z), expit(x_r + h_r)
    return z * h + (1 - z) * np.tanh(x_h + h_h)
