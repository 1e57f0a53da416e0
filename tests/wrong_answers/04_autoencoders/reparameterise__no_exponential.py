# fails with: the exponential is missing
def reparameterise(mean, log_var, eps):
    return mean + log_var * eps
