# fails with: they are no steps of any game
def fixed_steps(observations, actions, rewards, terminated, truncated):
    parts = observations[:-1], actions, rewards, observations[1:], terminated | truncated
    return tuple(part.reshape(-1, *part.shape[2:]) for part in parts)
