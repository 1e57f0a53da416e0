# fails with: expected one call
def guided_noise(predict, latent, context, empty, controls, guidance, on_both=False):
    first = controls if on_both else [np.zeros_like(c) for c in controls]
    without, full = predict(latent, empty, first), predict(latent, context, controls)
    return without + guidance * (full - without)
