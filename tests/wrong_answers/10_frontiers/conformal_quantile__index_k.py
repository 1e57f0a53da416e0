# fails with: the k-th smallest has the index k - 1
def conformal_quantile(scores, alpha):
    k = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))
    return float(np.sort(scores)[k]) if k < len(scores) else np.inf
