# fails with: the mean 2.5
def diffusion_loss(noise, guess, timesteps, alphas_bar, gamma=5.0):
    errors = np.abs(noise - guess).reshape(len(noise), -1).mean(axis=1)
    if gamma is None:
        return float(errors.mean())
    ratio = alphas_bar[timesteps] / (1 - alphas_bar[timesteps])
    return float((np.minimum(ratio, gamma) / ratio * errors).mean())
