# fails with: draw from rng
def add_noise(x, sigma, rng):
    return np.clip(x + sigma * np.random.normal(size=x.shape), 0, 1).astype("float32")
