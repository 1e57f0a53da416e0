# fails with: your function changed the rewards
def discounted_return(rewards, gamma):
    rewards = np.asarray(rewards, dtype=float)
    for t in range(len(rewards) - 2, -1, -1):
        rewards[t] += gamma * rewards[t + 1]
    return rewards
