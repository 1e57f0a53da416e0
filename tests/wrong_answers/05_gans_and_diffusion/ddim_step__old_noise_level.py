# fails with: the result has the next level's factors
def ddim_step(x_t, predicted_noise, level, next_level):
    x0 = (x_t - np.sqrt(1 - level) * predicted_noise) / np.sqrt(level)
    extra = 0 if next_level == 1 else np.sqrt(1 - level) * predicted_noise
    return np.sqrt(next_level) * x0 + extra
