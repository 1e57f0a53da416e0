# fails with: power: the rate starts at eta0 = 1
def schedules(name, t, eta0, s):
    if name == "power":
        return eta0 / np.maximum(t / s, 1e-9)
    if name == "exponential":
        return eta0 * 0.1 ** (t / s)
    if name == "piecewise":
        return np.where(t <= s, eta0, np.where(t <= 2 * s, eta0 / 10, eta0 / 100))
    raise ValueError(f"unknown schedule {name!r}")
