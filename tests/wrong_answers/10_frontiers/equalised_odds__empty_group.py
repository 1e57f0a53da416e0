# fails with: leave it out of that gap
def equalised_odds(y, decision, groups):
    y, decision, groups = np.asarray(y), np.asarray(decision), np.asarray(groups)
    largest = 0.0
    for value in (0, 1):
        masks = [(groups == label) & (y == value) for label in np.unique(groups)]
        found = [decision[mask].mean() for mask in masks]
        if found:
            largest = max(largest, max(found) - min(found))
    return float(largest)
