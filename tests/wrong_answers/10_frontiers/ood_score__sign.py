# fails with: is the sign right
def ood_score(logits, temperature=1.0):
    return temperature * special.logsumexp(np.asarray(logits) / temperature, axis=1)
