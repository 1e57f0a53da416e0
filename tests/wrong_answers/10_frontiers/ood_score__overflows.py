# fails with: use logsumexp
def ood_score(logits, temperature=1.0):
    return -temperature * np.log(np.exp(logits / temperature).sum(axis=1))
