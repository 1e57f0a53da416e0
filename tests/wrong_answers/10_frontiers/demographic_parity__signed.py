# fails with: never negative
def demographic_parity(decision, groups):
    decision, groups = np.asarray(decision), np.asarray(groups)
    shares = [decision[groups == label].mean() for label in np.unique(groups)]
    return float(shares[-1] - shares[0])
