# fails with: the formula has square roots
def q_sample(x0, t, noise, alphas_bar):
    signal = alphas_bar[t].reshape((-1,) + (1,) * (x0.ndim - 1))
    return signal * x0 + (1 - signal) * noise
