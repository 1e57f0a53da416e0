# fails with: the inputs were changed
def add_residuals(skips, middle, controls, scale=1.0):
    scales = np.broadcast_to(scale, len(controls))
    for x, s, c in zip([*skips, middle], scales, controls):
        x += s * c
    return list(skips), middle
