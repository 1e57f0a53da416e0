# fails with: 0.01 is the variance
def he_init(inputs, units, rng, alpha=0.0):
    return rng.normal(0, 2 / ((1 + alpha**2) * inputs), (inputs, units)), np.zeros(units)
