# fails with: the inputs were changed
def add_noise(latents, noise, timesteps, alphas_bar):
    signal = np.asarray(alphas_bar)[np.asarray(timesteps)][:, None, None, None]
    latents *= np.sqrt(signal)
    latents += np.sqrt(1 - signal) * noise
    return latents
