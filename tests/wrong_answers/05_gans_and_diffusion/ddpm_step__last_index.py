# fails with: the last step back, t = 0, adds no fresh noise
def ddpm_step(x_t, t, predicted_noise, fresh_noise, betas):
    a = np.cumprod(1 - betas)
    mean = (x_t - betas[t] / np.sqrt(1 - a[t]) * predicted_noise) / np.sqrt(1 - betas[t])
    return mean + np.sqrt((1 - a[t - 1]) / (1 - a[t]) * betas[t]) * fresh_noise
