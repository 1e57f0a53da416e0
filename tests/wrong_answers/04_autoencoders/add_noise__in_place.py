# fails with: the input was changed
def add_noise(x, sigma, rng):
    x += (sigma * rng.normal(size=x.shape)).astype("float32")
    return np.clip(x, 0, 1).astype("float32")
