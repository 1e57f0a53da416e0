# fails with: not the skips
def add_residuals(skips, middle, controls, scale=1.0):
    scales = np.broadcast_to(scale, len(controls))
    added = [s * (x + c) for x, s, c in zip([*skips, middle], scales, controls)]
    return added[:-1], added[-1]
