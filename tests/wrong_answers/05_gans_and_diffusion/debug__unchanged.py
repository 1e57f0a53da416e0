# fails with: noise that it cannot see
def fixed_batch(x0, alphas_bar, rng):
    t = rng.integers(0, len(alphas_bar), len(x0))
    noise = rng.normal(size=x0.shape)
    signal = alphas_bar[t][:, None]
    x_t = np.sqrt(signal) * x0 + np.sqrt(1 - signal) * rng.normal(size=x0.shape)
    return x_t, t, noise
