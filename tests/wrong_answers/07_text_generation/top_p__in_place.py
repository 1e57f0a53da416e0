# fails with: your function changed its input
def top_p(probabilities, p):
    if not 0 < p <= 1:
        raise ValueError("0 < p <= 1 expected")
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    falling = np.take_along_axis(probabilities, order, axis=-1)
    falling[falling.cumsum(axis=-1) - falling >= p - 1e-12] = 0
    np.put_along_axis(probabilities, order, falling, axis=-1)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    return probabilities
