# fails with: it counts γ · 10
def value_iteration(P, R, gamma, tolerance=1e-8):
    V = np.zeros(len(R))
    for _ in range(2):  # does not end without a discount
        V = (R + P @ V).max(axis=1)
    return V, (R + P @ V).argmax(axis=1)
