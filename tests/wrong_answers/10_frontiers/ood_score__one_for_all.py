# fails with: one score for each of the 3 rows
def ood_score(logits, temperature=1.0):
    return -temperature * special.logsumexp(np.asarray(logits) / temperature)
