# fails with: your function changed its input
def top_k(logits, k):
    if k < 1:
        raise ValueError("k is at least 1")
    worst = np.argsort(-logits, axis=-1, kind="stable")[..., k:]
    np.put_along_axis(logits, worst, -np.inf, axis=-1)
    return logits
