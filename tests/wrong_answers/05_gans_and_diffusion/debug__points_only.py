# fails with: pictures of shape (60, 4, 4) have to work
def fixed_batch(x0, alphas_bar, rng):
    t = rng.integers(0, len(alphas_bar), len(x0))
    noise = rng.normal(size=x0.shape)
    signal = alphas_bar[t][:, None]
    return np.sqrt(signal) * x0 + np.sqrt(1 - signal) * noise, t, noise
