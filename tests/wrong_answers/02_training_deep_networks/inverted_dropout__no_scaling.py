# fails with: survivors are divided by 1 - rate
def inverted_dropout(a, rate, rng, training):
    if not training:
        return a
    return a * (rng.random(a.shape) >= rate)
