# fails with: two characters are enough
def top_p(probabilities, p):
    if not 0 < p <= 1:
        raise ValueError("0 < p <= 1 expected")
    probabilities = np.asarray(probabilities, dtype="float64")
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    falling = np.take_along_axis(probabilities, order, axis=-1)
    falling = np.where(falling.cumsum(axis=-1) - falling <= p, falling, 0)
    kept = np.zeros_like(probabilities)
    np.put_along_axis(kept, order, falling, axis=-1)
    return kept / kept.sum(axis=-1, keepdims=True)
