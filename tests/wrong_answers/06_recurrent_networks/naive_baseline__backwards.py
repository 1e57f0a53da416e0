# fails with: the season runs forward in time
def naive_baseline(history, horizon, season):
    if len(history) < season:
        raise ValueError(f"season {season}, history {len(history)}")
    return np.array([history[-1 - t % season] for t in range(horizon)])
