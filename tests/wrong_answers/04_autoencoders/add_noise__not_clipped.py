# fails with: must be clipped to [0, 1]
def add_noise(x, sigma, rng):
    return (x + sigma * rng.normal(size=x.shape)).astype("float32")
