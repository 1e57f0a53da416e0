# fails with: are logits normalised
def perplexity(logits, targets):
    if len(targets) == 0:
        raise ValueError("no targets")
    z = np.asarray(logits, dtype="float64")
    bits = -z[np.arange(len(z)), targets].mean() / np.log(2)
    return float(bits), float(2**bits)
