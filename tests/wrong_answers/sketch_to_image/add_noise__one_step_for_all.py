# fails with: 0.6 at step 1
def add_noise(latents, noise, timesteps, alphas_bar):
    signal = alphas_bar[timesteps[0]]
    return np.sqrt(signal) * latents + np.sqrt(1 - signal) * noise
