# fails with: is h used?
def gradient_check(f, theta, gradient, h=1e-5):
    n = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        d = np.zeros_like(theta)
        d[i] = 1e-5
        n[i] = (f(theta + d) - f(theta - d)) / 2e-5
    size = np.linalg.norm(gradient) + np.linalg.norm(n)
    return n, float(np.linalg.norm(gradient - n) / size) if size > 0 else 0.0
