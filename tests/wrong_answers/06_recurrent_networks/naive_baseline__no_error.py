# fails with: a ValueError has to be raised
def naive_baseline(history, horizon, season):
    return np.resize(history[-season:], horizon)
