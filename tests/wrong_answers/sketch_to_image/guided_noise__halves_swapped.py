# fails with: guidance 1 gives the caption's half
def guided_noise(predict, latent, context, empty, controls, guidance, on_both=False):
    first = controls if on_both else [np.zeros_like(c) for c in controls]
    doubled = [np.concatenate(h) for h in zip(first, controls)]
    full, without = np.split(predict(np.concatenate([latent, latent]), np.concatenate([empty, context]), doubled), 2)
    return without + guidance * (full - without)
