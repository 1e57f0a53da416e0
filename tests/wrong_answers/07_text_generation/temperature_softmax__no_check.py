# fails with: T = 0
def temperature_softmax(logits, temperature):
    with np.errstate(all="ignore"):
        return special.softmax(np.asarray(logits, dtype="float64") / temperature, axis=-1)
