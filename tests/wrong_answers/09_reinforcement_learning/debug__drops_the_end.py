# fails with: the wasted step is the one *after* the end
def fixed_steps(observations, actions, rewards, terminated, truncated):
    keep = ~(terminated | truncated)
    return observations[:-1][keep], actions[keep], rewards[keep], observations[1:][keep], terminated[keep]
