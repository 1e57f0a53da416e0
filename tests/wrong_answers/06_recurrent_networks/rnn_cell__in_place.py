# fails with: your function changed one of its inputs
def rnn_cell(x, h, W, U, b):
    h[:] = np.tanh(x @ W + h @ U + b)
    return h
