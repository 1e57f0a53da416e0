# fails with: changed the logits
def ood_score(logits, temperature=1.0):
    logits -= logits.max()
    return -temperature * special.logsumexp(np.asarray(logits) / temperature, axis=1)
