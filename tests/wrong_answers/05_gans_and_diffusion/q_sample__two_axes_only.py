# fails with: ValueError at
def q_sample(x0, t, noise, alphas_bar):
    signal = alphas_bar[t][:, None]
    return np.sqrt(signal) * x0 + np.sqrt(1 - signal) * noise
