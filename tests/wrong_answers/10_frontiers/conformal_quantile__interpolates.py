# fails with: no interpolation
def conformal_quantile(scores, alpha):
    k = (len(scores) + 1) * (1 - alpha)
    return float(np.quantile(scores, (k - 1) / (len(scores) - 1))) if k <= len(scores) else np.inf
