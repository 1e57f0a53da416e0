# fails with: your function changed its inputs
def ddim_step(x_t, predicted_noise, level, next_level):
    x_t -= np.sqrt(1 - level) * predicted_noise
    x_t /= np.sqrt(level)
    return np.sqrt(next_level) * x_t + np.sqrt(1 - next_level) * predicted_noise
