# fails with: every number is multiplied by 0.2
def clip_gradients(gradients, max_norm):
    norm = sum(np.linalg.norm(g) for g in gradients)
    scale = min(1.0, max_norm / norm) if norm > 0 else 1.0
    return [g * scale for g in gradients]
