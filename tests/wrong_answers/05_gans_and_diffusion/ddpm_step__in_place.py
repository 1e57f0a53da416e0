# fails with: your function changed its inputs
def ddpm_step(x_t, t, predicted_noise, fresh_noise, betas):
    alphas_bar = np.cumprod(1 - betas)
    previous = alphas_bar[t - 1] if t > 0 else 1.0
    x_t -= betas[t] / np.sqrt(1 - alphas_bar[t]) * predicted_noise
    x_t /= np.sqrt(1 - betas[t])
    x_t += np.sqrt((1 - previous) / (1 - alphas_bar[t]) * betas[t]) * fresh_noise
    return x_t
