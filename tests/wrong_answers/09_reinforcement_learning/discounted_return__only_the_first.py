# fails with: one for each start
def discounted_return(rewards, gamma):
    return np.array(sum(gamma**t * r for t, r in enumerate(rewards)))
