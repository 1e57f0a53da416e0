# fails with: stay zero
def clip_gradients(gradients, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    with np.errstate(all="ignore"):
        return [g * np.minimum(1.0, max_norm / norm) if norm > 0 else g * (max_norm / norm) for g in gradients]
