# fails with: 3 examples fit
def make_windows(series, length, horizon):
    n = len(series) - length - horizon
    if n < 1:
        raise ValueError(f"the series has {len(series)} steps, one example needs {length + horizon}")
    x = np.stack([series[i : i + length] for i in range(n)])
    y = np.stack([series[i + length : i + length + horizon, 0] for i in range(n)])
    return x, y
