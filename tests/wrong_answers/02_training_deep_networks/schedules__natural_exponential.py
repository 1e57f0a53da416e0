# fails with: exponential: steps [0, 100, 101, 200, 201] should give
def schedules(name, t, eta0, s):
    if name == "power":
        return eta0 / (1 + t / s)
    if name == "exponential":
        return eta0 * np.exp(-t / s)
    if name == "piecewise":
        return np.where(t <= s, eta0, np.where(t <= 2 * s, eta0 / 10, eta0 / 100))
    raise ValueError(f"unknown schedule {name!r}")
