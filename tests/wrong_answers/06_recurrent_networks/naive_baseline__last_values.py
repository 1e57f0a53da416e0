# fails with: the season starts with its OLDEST value
def naive_baseline(history, horizon, season):
    if len(history) < season:
        raise ValueError(f"season {season}, history {len(history)}")
    return np.array([history[-season + t % season] for t in range(season - horizon, season)])
