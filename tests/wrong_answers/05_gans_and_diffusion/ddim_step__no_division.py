# fails with: divide by √ᾱ
def ddim_step(x_t, predicted_noise, level, next_level):
    x0 = x_t - np.sqrt(1 - level) * predicted_noise
    return np.sqrt(next_level) * x0 + np.sqrt(1 - next_level) * predicted_noise
