# fails with: logits of 900 overflow
def temperature_scaling(logits, y):
    def loss(log_t):
        z = logits / np.exp(log_t)
        return -np.mean(z[np.arange(len(y)), y] - np.log(np.exp(z).sum(axis=1)))

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))
