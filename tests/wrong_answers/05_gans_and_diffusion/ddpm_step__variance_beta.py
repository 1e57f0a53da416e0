# fails with: not β
def ddpm_step(x_t, t, predicted_noise, fresh_noise, betas):
    a = np.cumprod(1 - betas)
    mean = (x_t - betas[t] / np.sqrt(1 - a[t]) * predicted_noise) / np.sqrt(1 - betas[t])
    return mean + (np.sqrt(betas[t]) if t else 0) * fresh_noise
