# fails with: expected 6 steps, got 7
def fixed_steps(observations, actions, rewards, terminated, truncated):
    keep = np.ones(terminated.shape, dtype=bool)
    keep[1:] = ~terminated[:-1]
    return observations[:-1][keep], actions[keep], rewards[keep], observations[1:][keep], terminated[keep]
