# fails with: the noise has mean 0
def add_noise(x, sigma, rng):
    return np.clip(x + sigma * rng.random(x.shape), 0, 1).astype("float32")
