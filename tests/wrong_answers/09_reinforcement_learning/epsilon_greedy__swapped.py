# fails with: with ε = 0 only the best action
def epsilon_greedy(q, epsilon, rng):
    if rng.random() >= epsilon:
        return int(rng.integers(len(q)))
    return int(rng.choice(np.flatnonzero(q == q.max())))
