# fails with: a truncated game is marked as terminated
def fixed_steps(observations, actions, rewards, terminated, truncated):
    keep = np.ones(terminated.shape, dtype=bool)
    keep[1:] = ~(terminated | truncated)[:-1]
    return observations[:-1][keep], actions[keep], rewards[keep], observations[1:][keep], (terminated | truncated)[keep]
