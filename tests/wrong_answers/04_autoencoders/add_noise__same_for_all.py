# fails with: all pictures got the same noise
def add_noise(x, sigma, rng):
    return np.clip(x + sigma * rng.normal(size=x.shape[1:]), 0, 1).astype("float32")
