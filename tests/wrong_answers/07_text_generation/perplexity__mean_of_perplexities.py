# fails with: average the bits first
def perplexity(logits, targets):
    if len(targets) == 0:
        raise ValueError("no targets")
    z = np.asarray(logits, dtype="float64")
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    bits = -log_p[np.arange(len(z)), targets].mean() / np.log(2)
    return float(bits), float(np.exp(-log_p[np.arange(len(z)), targets]).mean())
