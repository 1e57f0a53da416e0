# fails with: the noise term is missing
def ddim_step(x_t, predicted_noise, level, next_level):
    x0 = (x_t - np.sqrt(1 - level) * predicted_noise) / np.sqrt(level)
    return np.sqrt(next_level) * x0
