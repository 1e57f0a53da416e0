# fails with: is max(0, z) applied?
def neuron(x, w, b):
    return x @ w + b
