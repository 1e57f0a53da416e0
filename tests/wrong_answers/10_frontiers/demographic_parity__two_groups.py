# fails with: three groups
def demographic_parity(decision, groups):
    decision, groups = np.asarray(decision), np.asarray(groups)
    shares = [decision[groups == label].mean() for label in np.unique(groups)]
    return float(abs(shares[1] - shares[0]))
