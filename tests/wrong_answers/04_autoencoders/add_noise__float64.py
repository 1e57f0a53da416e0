# fails with: expected a float32 array
def add_noise(x, sigma, rng):
    return np.clip(x + sigma * rng.normal(size=x.shape), 0, 1)
