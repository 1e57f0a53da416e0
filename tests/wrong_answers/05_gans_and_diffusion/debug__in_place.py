# fails with: your function changed x0
def fixed_batch(x0, alphas_bar, rng):
    t = rng.integers(0, len(alphas_bar), len(x0))
    noise = rng.normal(size=x0.shape)
    signal = alphas_bar[t].reshape((-1,) + (1,) * (x0.ndim - 1))
    x0 *= np.sqrt(signal)
    x0 += np.sqrt(1 - signal) * noise
    return x0, t, noise
