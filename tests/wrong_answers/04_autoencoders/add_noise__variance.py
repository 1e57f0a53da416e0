# fails with: sigma = 0.1 is the standard deviation
def add_noise(x, sigma, rng):
    return np.clip(x + np.sqrt(sigma) * rng.normal(size=x.shape), 0, 1).astype("float32")
