# fails with: array of the shape of theta
def gradient_check(f, theta, gradient, h=1e-5):
    flat, n = theta.ravel(), np.zeros(theta.size)
    for i in range(flat.size):
        d = np.zeros(flat.size)
        d[i] = h
        try:
            n[i] = (f(flat + d) - f(flat - d)) / (2 * h)
        except IndexError:
            n[i] = np.nan
    n = n.reshape(theta.shape)
    size = np.linalg.norm(gradient) + np.linalg.norm(n)
    return n, float(np.linalg.norm(gradient - n) / size) if size > 0 else 0.0
