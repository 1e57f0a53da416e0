# fails with: is the bias added?
def neuron(x, w, b):
    return np.maximum(x @ w, 0.0)
