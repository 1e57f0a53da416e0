# fails with: the best one too
def epsilon_greedy(q, epsilon, rng):
    best = np.flatnonzero(q == q.max())
    if rng.random() < epsilon:
        return int(rng.choice(np.setdiff1d(np.arange(len(q)), best)))
    return int(rng.choice(best))
