# fails with: use the last axis
def temperature_softmax(logits, temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be positive")
    z = np.asarray(logits, dtype="float64") / temperature
    e = np.exp(z - z.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)
