# fails with: expected error 0.0
def gradient_check(f, theta, gradient, h=1e-5):
    n = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        d = np.zeros_like(theta)
        d[i] = h
        n[i] = (f(theta + d) - f(theta - d)) / (2 * h)
    with np.errstate(invalid="ignore"):
        return n, float(np.linalg.norm(gradient - n) / (np.linalg.norm(gradient) + np.linalg.norm(n)))
