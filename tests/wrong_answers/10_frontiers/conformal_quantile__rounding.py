# fails with: mind the rounding of 10
def conformal_quantile(scores, alpha):
    k = int(np.ceil((len(scores) + 1) * (1 - alpha)))
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else np.inf
