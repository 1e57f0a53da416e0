# fails with: use each example's own t
def q_sample(x0, t, noise, alphas_bar):
    signal = alphas_bar[t[0]]
    return np.sqrt(signal) * x0 + np.sqrt(1 - signal) * noise
