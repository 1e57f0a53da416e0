# fails with: your function changed x0
def q_sample(x0, t, noise, alphas_bar):
    signal = alphas_bar[t].reshape((-1,) + (1,) * (x0.ndim - 1))
    x0 *= np.sqrt(signal)
    x0 += np.sqrt(1 - signal) * noise
    return x0
