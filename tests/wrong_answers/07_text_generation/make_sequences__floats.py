# fails with: ids stay integers
def make_sequences(ids, length, stride):
    starts = range(0, len(ids) - length, stride)
    if len(starts) == 0:
        raise ValueError("no window fits")
    x, y = np.zeros((len(starts), length)), np.zeros((len(starts), length))
    for row, start in enumerate(starts):
        x[row], y[row] = ids[start : start + length], ids[start + 1 : start + length + 1]
    return x, y
