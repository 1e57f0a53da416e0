# fails with: got the sums
def effective_batch(gradients, accumulation=2):
    n = len(gradients) // accumulation
    return gradients[: n * accumulation].reshape(n, accumulation, *gradients.shape[1:]).sum(axis=1)
