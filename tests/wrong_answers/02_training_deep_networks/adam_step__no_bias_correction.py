# fails with: is the bias corrected?
def adam_step(theta, m, v, gradient, t, eta, beta1=0.9, beta2=0.999, epsilon=1e-7):
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return theta - eta * m / (np.sqrt(v) + epsilon), m, v
