# fails with: T stands twice
def ood_score(logits, temperature=1.0):
    return -special.logsumexp(np.asarray(logits) / temperature, axis=1)
