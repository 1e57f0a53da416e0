# fails with: seed 1 gives the order
def grouped_split(groups, share, seed):
    held_out = np.zeros(len(groups), dtype=bool)
    for group in np.random.default_rng(0).permutation(np.unique(groups)):
        if held_out.sum() >= share * len(groups):
            break
        held_out |= groups == group
    if held_out.all():
        raise ValueError("share too large")
    return held_out
