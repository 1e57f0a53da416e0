# fails with: expected [0, 2/3, 1/3, 0]
def top_p(probabilities, p):
    if not 0 < p <= 1:
        raise ValueError("0 < p <= 1 expected")
    kept = np.where(probabilities >= (1 - p) * probabilities.max(axis=-1, keepdims=True) * 0.3, probabilities, 0)
    return kept / kept.sum(axis=-1, keepdims=True)
