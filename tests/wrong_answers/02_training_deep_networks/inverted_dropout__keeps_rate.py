# fails with: rate 0.2 drops 20 % of the values
def inverted_dropout(a, rate, rng, training):
    if not training:
        return a
    return a * (rng.random(a.shape) < rate) / (1 - rate)
