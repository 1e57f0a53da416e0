# fails with: not by rewards
def fixed_steps(observations, actions, rewards, terminated, truncated):
    keep = rewards != 0
    return observations[:-1][keep], actions[keep], rewards[keep], observations[1:][keep], terminated[keep]
