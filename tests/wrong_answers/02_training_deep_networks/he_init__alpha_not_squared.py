# fails with: 20 leaky layers should keep a mean square of about 1
def he_init(inputs, units, rng, alpha=0.0):
    return rng.normal(0, np.sqrt(2 / ((1 + alpha) * inputs)), (inputs, units)), np.zeros(units)
