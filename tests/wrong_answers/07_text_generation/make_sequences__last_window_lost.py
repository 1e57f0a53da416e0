# fails with: starts 0, 3 and 6 fit
def make_sequences(ids, length, stride):
    starts = np.arange(0, len(ids) - length - 1, stride)
    if len(starts) == 0:
        raise ValueError("no window fits")
    windows = np.asarray(ids)[starts[:, None] + np.arange(length + 1)]
    return windows[:, :-1], windows[:, 1:]
