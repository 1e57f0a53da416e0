# fails with: 3 examples give 3 outputs
def neuron(x, w, b):
    return np.maximum(np.sum(x * w) + b, np.zeros(1))
