# fails with: a normal distribution has 4.6 % beyond two standard deviations
def he_init(inputs, units, rng, alpha=0.0):
    limit = np.sqrt(6 / ((1 + alpha**2) * inputs))
    return rng.uniform(-limit, limit, (inputs, units)), np.zeros(units)
