# fails with: expected tanh(0.5 + 0.4 + 0.1)
def rnn_cell(x, h, W, U, b):
    return np.tanh(x @ W + h @ U) + b
