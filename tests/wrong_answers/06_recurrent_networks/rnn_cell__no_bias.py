# fails with: the bias has no effect
def rnn_cell(x, h, W, U, b):
    return np.tanh(x @ W + h @ U)
