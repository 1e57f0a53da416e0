# fails with: give (3, -2, -0.5)
def reparameterise(mean, log_var, eps):
    return ops.exp(0.5 * log_var) * eps
