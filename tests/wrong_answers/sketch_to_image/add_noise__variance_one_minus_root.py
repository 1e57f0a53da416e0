# fails with: noise 1 becomes
def add_noise(latents, noise, timesteps, alphas_bar):
    signal = np.sqrt(alphas_bar[timesteps])[:, None, None, None]
    return signal * latents + (1 - signal) * noise
