# fails with: gamma is ignored
def diffusion_loss(noise, guess, timesteps, alphas_bar, gamma=5.0):
    errors = ((noise - guess) ** 2).reshape(len(noise), -1).mean(axis=1)
    if gamma is None:
        return float(errors.mean())
    ratio = alphas_bar[timesteps] / (1 - alphas_bar[timesteps])
    return float((np.minimum(ratio, 5.0) / ratio * errors).mean())
