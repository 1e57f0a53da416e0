# fails with: the logarithm of T
def temperature_scaling(logits, y):
    def loss(log_t):
        return -np.mean(special.log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(y)), y])

    result = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded", options={"xatol": 1e-4})
    return float(result.x)
