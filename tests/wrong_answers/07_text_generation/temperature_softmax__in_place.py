# fails with: your function changed its input
def temperature_softmax(logits, temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be positive")
    z = np.asarray(logits)
    if z.dtype.kind == "f" and z.ndim > 1:
        z /= temperature
    else:
        z = z / temperature
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
