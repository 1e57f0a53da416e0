# fails with: treat every row by itself
def top_k(logits, k):
    if k < 1:
        raise ValueError("k is at least 1")
    limit = np.sort(logits, axis=None)[-min(k, logits.size)]
    return np.where(logits >= limit, logits, -np.inf)
