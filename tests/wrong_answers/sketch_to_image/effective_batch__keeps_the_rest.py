# fails with: make 2 updates
def effective_batch(gradients, accumulation=2):
    return np.stack([gradients[i : i + accumulation].mean(axis=0) for i in range(0, len(gradients), accumulation)])
