# fails with: on the caption's half alone
def guided_noise(predict, latent, context, empty, controls, guidance, on_both=False):
    double = lambda a: np.concatenate([a, a])
    noise = predict(double(latent), np.concatenate([empty, context]), [double(c) for c in controls])
    without, full = np.split(noise, 2)
    return without + guidance * (full - without)
