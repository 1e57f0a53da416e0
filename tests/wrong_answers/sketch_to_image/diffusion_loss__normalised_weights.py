# fails with: divided by the sum of the weights
def diffusion_loss(noise, guess, timesteps, alphas_bar, gamma=5.0):
    errors = ((noise - guess) ** 2).reshape(len(noise), -1).mean(axis=1)
    if gamma is None:
        return float(errors.mean())
    ratio = alphas_bar[timesteps] / (1 - alphas_bar[timesteps])
    weights = np.minimum(ratio, gamma) / ratio
    return float((weights * errors).sum() / weights.sum())
