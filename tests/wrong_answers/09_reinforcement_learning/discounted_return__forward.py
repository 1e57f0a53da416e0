# fails with: sum what comes *after* each step
def discounted_return(rewards, gamma):
    result, total = np.zeros(len(rewards)), 0.0
    for t in range(len(rewards)):
        total += gamma**t * rewards[t]
        result[t] = total
    return result
