# fails with: the smaller index stays
def top_k(logits, k):
    if k < 1:
        raise ValueError("k is at least 1")
    best = np.argsort(logits, axis=-1, kind="stable")[..., -k:]
    kept = np.full(logits.shape, -np.inf)
    np.put_along_axis(kept, best, np.take_along_axis(logits, best, axis=-1), axis=-1)
    return kept
