# fails with: the root is over 1 - ᾱ, not β
def ddpm_step(x_t, t, predicted_noise, fresh_noise, betas):
    a = np.cumprod(1 - betas)
    before = a[t - 1] if t else 1.0
    mean = (x_t - np.sqrt(betas[t]) * predicted_noise) / np.sqrt(1 - betas[t])
    return mean + np.sqrt((1 - before) / (1 - a[t]) * betas[t]) * fresh_noise
