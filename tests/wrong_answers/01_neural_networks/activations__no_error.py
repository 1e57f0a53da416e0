# fails with: has to raise a ValueError
def activations(name, z):
    if name == "sigmoid":
        a = 1 / (1 + np.exp(-z))
        return a, a * (1 - a)
    if name == "tanh":
        a = np.tanh(z)
        return a, 1 - a**2
    return np.maximum(z, 0.0), (z > 0).astype(float)
