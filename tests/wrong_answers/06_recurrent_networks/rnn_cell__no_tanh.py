# fails with: the tanh is missing
def rnn_cell(x, h, W, U, b):
    return x @ W + h @ U + b
