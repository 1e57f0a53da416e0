# fails with: sort a copy
def conformal_quantile(scores, alpha):
    k = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))
    return float((scores.sort(), scores)[1][k - 1]) if k <= len(scores) else np.inf
