# fails with: draw from rng
def he_init(inputs, units, rng, alpha=0.0):
    return np.random.default_rng(0).normal(0, np.sqrt(2 / ((1 + alpha**2) * inputs)), (inputs, units)), np.zeros(units)
