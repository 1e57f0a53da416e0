# fails with: at prediction nothing is dropped
def inverted_dropout(a, rate, rng, training):
    if not training:
        return a * (1 - rate)
    return a * (rng.random(a.shape) >= rate) / (1 - rate)
