# fails with: y equals x
def make_sequences(ids, length, stride):
    starts = np.arange(0, len(ids) - length, stride)
    if len(starts) == 0:
        raise ValueError("no window fits")
    windows = np.asarray(ids)[starts[:, None] + np.arange(length + 1)]
    return windows[:, :-1], windows[:, :-1]
