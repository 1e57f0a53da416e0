# fails with: expected a ValueError
def make_windows(series, length, horizon):
    n = len(series) - length - horizon + 1
    if n < 1:
        raise IndexError("too short")
    x = np.stack([series[i : i + length] for i in range(n)])
    y = np.stack([series[i + length : i + length + horizon, 0] for i in range(n)])
    return x, y
