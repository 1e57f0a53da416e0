# fails with: the recurrent part is h @ U
def rnn_cell(x, h, W, U, b):
    return np.tanh(x @ W + h @ U.T + b)
