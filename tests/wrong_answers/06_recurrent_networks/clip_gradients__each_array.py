# fails with: each array was clipped by its own norm
def clip_gradients(gradients, max_norm):
    norms = [np.linalg.norm(g) for g in gradients]
    return [g * min(1.0, max_norm / n) for g, n in zip(gradients, norms, strict=True)]
