# fails with: expected infinity
def conformal_quantile(scores, alpha):
    k = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))
    return float(np.sort(scores)[min(k, len(scores)) - 1])
