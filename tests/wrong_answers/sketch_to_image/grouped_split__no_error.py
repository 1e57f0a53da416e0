# fails with: expected a ValueError
def grouped_split(groups, share, seed):
    held_out = np.zeros(len(groups), dtype=bool)
    for group in np.random.default_rng(seed).permutation(np.unique(groups)):
        if held_out.sum() >= share * len(groups):
            break
        held_out |= groups == group
    return held_out
