# fails with: expected [0, 2/3, 1/3, 0]
def top_p(probabilities, p):
    if not 0 < p <= 1:
        raise ValueError("0 < p <= 1 expected")
    falling = np.sort(probabilities, axis=-1)[..., ::-1]
    falling = np.where(falling.cumsum(axis=-1) - falling < p, falling, 0)
    return falling / falling.sum(axis=-1, keepdims=True)
