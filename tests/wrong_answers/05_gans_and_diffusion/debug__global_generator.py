# fails with: draw everything from the rng given
def fixed_batch(x0, alphas_bar, rng):
    t = np.random.randint(0, len(alphas_bar), len(x0))
    noise = np.random.normal(size=x0.shape)
    signal = alphas_bar[t].reshape((-1,) + (1,) * (x0.ndim - 1))
    return np.sqrt(signal) * x0 + np.sqrt(1 - signal) * noise, t, noise
