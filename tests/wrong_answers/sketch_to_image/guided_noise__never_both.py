# fails with: on both: 10
def guided_noise(predict, latent, context, empty, controls, guidance, on_both=False):
    doubled = [np.concatenate([np.zeros_like(c), c]) for c in controls]
    without, full = np.split(predict(np.concatenate([latent, latent]), np.concatenate([empty, context]), doubled), 2)
    return without + guidance * (full - without)
