# fails with: use keras.ops, not NumPy
def reparameterise(mean, log_var, eps):
    mean, log_var = ops.convert_to_numpy(mean), ops.convert_to_numpy(log_var)
    return ops.convert_to_tensor(mean + np.exp(0.5 * log_var) * eps)
