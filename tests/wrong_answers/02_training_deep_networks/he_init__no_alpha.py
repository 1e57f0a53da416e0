# fails with: use alpha
def he_init(inputs, units, rng, alpha=0.0):
    return rng.normal(0, np.sqrt(2 / inputs), (inputs, units)), np.zeros(units)
