# fails with: each number was cut off by itself
def clip_gradients(gradients, max_norm):
    return [np.clip(g, -max_norm, max_norm) for g in gradients]
