# fails with: that is one sweep
def value_iteration(P, R, gamma, tolerance=1e-8):
    Q = R + gamma * P @ np.zeros(len(R))
    return Q.max(axis=1), Q.argmax(axis=1)
