# fails with: going on twice is worth
def value_iteration(P, R, gamma, tolerance=1e-8):
    V = np.zeros(len(R))
    for _ in range(2000):
        V = (R + gamma * P @ V).mean(axis=1)
    return V, (R + gamma * P @ V).argmax(axis=1)
