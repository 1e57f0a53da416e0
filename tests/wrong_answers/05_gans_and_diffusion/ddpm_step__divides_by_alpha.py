# fails with: grows by
def ddpm_step(x_t, t, predicted_noise, fresh_noise, betas):
    a = np.cumprod(1 - betas)
    before = a[t - 1] if t else 1.0
    mean = (x_t - betas[t] / np.sqrt(1 - a[t]) * predicted_noise) / (1 - betas[t])
    return mean + np.sqrt((1 - before) / (1 - a[t]) * betas[t]) * fresh_noise
