# fails with: the batch does not fit
def guided_noise(predict, latent, context, empty, controls, guidance, on_both=False):
    noise = predict(np.concatenate([latent, latent]), np.concatenate([empty, context]), controls)
    without, full = np.split(noise, 2)
    return without + guidance * (full - without)
