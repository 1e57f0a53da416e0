# fails with: noise 1 becomes
def add_noise(latents, noise, timesteps, alphas_bar):
    signal = alphas_bar[timesteps][:, None, None, None].astype(latents.dtype)
    latents *= np.sqrt(signal)
    return latents + np.sqrt(1 - signal) * noise
