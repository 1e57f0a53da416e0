# fails with: all steps 0, 1, 2 have to occur
def fixed_batch(x0, alphas_bar, rng):
    t = rng.integers(0, len(alphas_bar) - 1, len(x0))
    noise = rng.normal(size=x0.shape)
    signal = alphas_bar[t].reshape((-1,) + (1,) * (x0.ndim - 1))
    return np.sqrt(signal) * x0 + np.sqrt(1 - signal) * noise, t, noise
