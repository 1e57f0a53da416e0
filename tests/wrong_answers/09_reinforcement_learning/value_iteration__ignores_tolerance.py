# fails with: the argument tolerance is ignored
def value_iteration(P, R, gamma, tolerance=1e-8):
    V = np.zeros(len(R))
    for _ in range(3000):
        V = (R + gamma * P @ V).max(axis=1)
    return V, (R + gamma * P @ V).argmax(axis=1)
