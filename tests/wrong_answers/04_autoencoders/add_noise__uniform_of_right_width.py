# fails with: use rng.normal
def add_noise(x, sigma, rng):
    noise = rng.uniform(-np.sqrt(3), np.sqrt(3), size=x.shape)
    return np.clip(x + sigma * noise, 0, 1).astype("float32")
