# fails with: log_var is the logarithm of the variance
def reparameterise(mean, log_var, eps):
    return mean + ops.exp(log_var) * eps
