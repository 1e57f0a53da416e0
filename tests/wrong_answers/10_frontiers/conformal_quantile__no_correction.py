# fails with: n + 1, rounded up
def conformal_quantile(scores, alpha):
    k = int(np.ceil(len(scores) * (1 - alpha) - 1e-9))
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else np.inf
