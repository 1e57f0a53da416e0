# fails with: the last return is the last reward
def discounted_return(rewards, gamma):
    result, later = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        later = gamma * (rewards[t] + later)
        result[t] = later
    return result
