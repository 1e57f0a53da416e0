# fails with: 3 of 10 pairs are wanted
def grouped_split(groups, share, seed):
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    return np.isin(groups, order[: max(1, int(share * len(order)))])
