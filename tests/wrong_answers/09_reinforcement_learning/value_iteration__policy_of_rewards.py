# fails with: the best action is 1 in both states
def value_iteration(P, R, gamma, tolerance=1e-8):
    V = np.zeros(len(R))
    while True:
        new = (R + gamma * P @ V).max(axis=1)
        if np.abs(new - V).max() <= tolerance:
            return new, R.argmax(axis=1)
        V = new
