# fails with: number of inputs, 200, not of units
def he_init(inputs, units, rng, alpha=0.0):
    return rng.normal(0, np.sqrt(2 / ((1 + alpha**2) * units)), (inputs, units)), np.zeros(units)
