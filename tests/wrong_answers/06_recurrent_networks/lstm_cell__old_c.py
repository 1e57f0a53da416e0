# fails with: tanh of the NEW c
def lstm_cell(x, h, c, W, U, b):
    z_i, z_f, z_c, z_o = np.split(x @ W + h @ U + b, 4, axis=1)
    new = expit(z_f) * c + expit(z_i) * np.tanh(z_c)
    return expit(z_o) * np.tanh(c), new
