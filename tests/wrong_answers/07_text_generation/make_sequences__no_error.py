# fails with: a ValueError must be raised
def make_sequences(ids, length, stride):
    starts = np.arange(0, len(ids) - length, stride)
    windows = np.asarray(ids)[starts[:, None] + np.arange(length + 1)]
    return windows[:, :-1], windows[:, 1:]
