# fails with: your function changed its inputs
def clip_gradients(gradients, max_norm):
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    for g in gradients:
        if norm > max_norm:
            g *= max_norm / norm
    return gradients
