# fails with: two batches have the same noise
def fixed_batch(x0, alphas_bar, rng):
    t = rng.integers(0, len(alphas_bar), len(x0))
    noise = np.random.default_rng(0).normal(size=x0.shape)
    signal = alphas_bar[t].reshape((-1,) + (1,) * (x0.ndim - 1))
    return np.sqrt(signal) * x0 + np.sqrt(1 - signal) * noise, t, noise
