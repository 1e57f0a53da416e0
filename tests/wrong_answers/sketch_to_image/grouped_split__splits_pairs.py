# fails with: both sides of the split
def grouped_split(groups, share, seed):
    held_out = np.zeros(len(groups), dtype=bool)
    held_out[np.random.default_rng(seed).permutation(len(groups))[: int(np.ceil(share * len(groups)))]] = True
    return held_out
