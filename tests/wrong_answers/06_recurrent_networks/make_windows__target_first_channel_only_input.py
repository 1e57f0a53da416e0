# fails with: expected shape (n, 3, 2)
def make_windows(series, length, horizon):
    n = len(series) - length - horizon + 1
    if n < 1:
        raise ValueError(f"the series has {len(series)} steps, one example needs {length + horizon}")
    x = np.stack([series[i : i + length, :1] for i in range(n)])
    y = np.stack([series[i + length : i + length + horizon, 0] for i in range(n)])
    return x, y
