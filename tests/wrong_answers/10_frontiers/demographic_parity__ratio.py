# fails with: expected 0.4167
def demographic_parity(decision, groups):
    decision, groups = np.asarray(decision), np.asarray(groups)
    shares = [decision[groups == label].mean() for label in np.unique(groups)]
    return float(min(shares) / max(shares))
