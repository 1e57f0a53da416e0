# fails with: the norms of the whole arrays
def gradient_check(f, theta, gradient, h=1e-5):
    n = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        d = np.zeros_like(theta)
        d[i] = h
        n[i] = (f(theta + d) - f(theta - d)) / (2 * h)
    size = np.maximum(np.abs(gradient) + np.abs(n), 1e-12)
    return n, float((np.abs(gradient - n) / size).max())
