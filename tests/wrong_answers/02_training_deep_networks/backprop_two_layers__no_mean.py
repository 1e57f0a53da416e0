# fails with: divide by n, and only by n
def backprop_two_layers(x, y, W1, b1, W2, b2):
    a1 = np.tanh(x @ W1 + b1)
    delta2 = 2 * (a1 @ W2 + b2 - y)
    delta1 = (delta2 @ W2.T) * (1 - a1**2)
    return x.T @ delta1, delta1.sum(axis=0), a1.T @ delta2, delta2.sum(axis=0)
