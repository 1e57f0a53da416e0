# fails with: the previous state has no effect
def rnn_cell(x, h, W, U, b):
    return np.tanh(x @ W + b)
