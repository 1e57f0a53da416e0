# fails with: divide the logits
def temperature_softmax(logits, temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be positive")
    return special.softmax(special.softmax(logits, axis=-1) / temperature, axis=-1)
