# fails with: use only rng
def epsilon_greedy(q, epsilon, rng):
    if np.random.rand() < epsilon:
        return int(np.random.randint(len(q)))
    return int(np.random.choice(np.flatnonzero(q == q.max())))
