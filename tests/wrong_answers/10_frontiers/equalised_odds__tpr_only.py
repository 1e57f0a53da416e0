# fails with: the gap of the TPR alone
def equalised_odds(y, decision, groups):
    y, decision, groups = np.asarray(y), np.asarray(decision), np.asarray(groups)
    largest = 0.0
    for value in (1,):
        masks = [(groups == label) & (y == value) for label in np.unique(groups)]
        found = [decision[mask].mean() for mask in masks if mask.any()]
        if found:
            largest = max(largest, max(found) - min(found))
    return float(largest)
