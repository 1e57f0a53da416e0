# fails with: is the range wide enough
def temperature_scaling(logits, y):
    def loss(log_t):
        return -np.mean(special.log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(y)), y])

    result = minimize_scalar(loss, bounds=(np.log(0.5), np.log(10)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(result.x))
