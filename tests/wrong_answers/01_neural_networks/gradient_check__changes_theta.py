# fails with: work on a copy
def gradient_check(f, theta, gradient, h=1e-5):
    n = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        theta[i] += h
        plus = f(theta)
        theta[i] -= 2 * h
        n[i] = (plus - f(theta)) / (2 * h)
    return n, float(np.linalg.norm(gradient - n) / (np.linalg.norm(gradient) + np.linalg.norm(n)))
