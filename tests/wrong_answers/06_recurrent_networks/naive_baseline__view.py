# fails with: shares its memory with the history
def naive_baseline(history, horizon, season):
    if len(history) < season:
        raise ValueError(f"season {season}, history {len(history)}")
    if horizon <= season:
        return history[len(history) - season :][:horizon]
    return np.resize(history[-season:], horizon)
