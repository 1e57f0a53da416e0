# fails with: scales 0, 1, 2
def add_residuals(skips, middle, controls, scale=1.0):
    scale = np.ravel(scale)[0]
    added = [x + scale * c for x, c in zip([*skips, middle], controls)]
    return added[:-1], added[-1]
