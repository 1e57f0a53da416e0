# fails with: T = 0.01 overflows
def temperature_softmax(logits, temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be positive")
    with np.errstate(all="ignore"):
        e = np.exp(np.asarray(logits, dtype="float64") / temperature)
        return e / e.sum(axis=-1, keepdims=True)
