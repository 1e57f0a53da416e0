# fails with: has to raise a ValueError
def schedules(name, t, eta0, s):
    if name == "power":
        return eta0 / (1 + t / s)
    if name == "exponential":
        return eta0 * 0.1 ** (t / s)
    if name == "piecewise":
        return np.where(t <= s, eta0, np.where(t <= 2 * s, eta0 / 10, eta0 / 100))
    return np.full(np.shape(t), eta0)
