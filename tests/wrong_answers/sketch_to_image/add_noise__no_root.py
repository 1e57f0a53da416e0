# fails with: square root of alphas_bar
def add_noise(latents, noise, timesteps, alphas_bar):
    signal = alphas_bar[timesteps][:, None, None, None]
    return signal * latents + (1 - signal) * noise
