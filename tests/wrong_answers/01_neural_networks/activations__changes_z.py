# fails with: your function changed z
def activations(name, z):
    if name == "sigmoid":
        a = 1 / (1 + np.exp(-z))
        return a, a * (1 - a)
    if name == "tanh":
        a = np.tanh(z)
        return a, 1 - a**2
    if name == "relu":
        slope = (z > 0).astype(float)
        z[z < 0] = 0
        return z, slope
    raise ValueError(name)
