# fails with: differs from the change of the value
def activations(name, z):
    if name == "sigmoid":
        a = 1 / (1 + np.exp(-z))
        return a, z * (1 - z)
    if name == "tanh":
        return np.tanh(z), 1 - z**2
    if name == "relu":
        return np.maximum(z, 0.0), (z > 0).astype(float)
    raise ValueError(name)
