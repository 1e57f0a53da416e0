# fails with: divide by the size of the group
def demographic_parity(decision, groups):
    decision, groups = np.asarray(decision), np.asarray(groups)
    shares = [decision[groups == label].sum() / len(decision) for label in np.unique(groups)]
    return float(max(shares) - min(shares))
