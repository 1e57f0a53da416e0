# fails with: batches that follow each other
def effective_batch(gradients, accumulation=2):
    n = len(gradients) // accumulation
    return gradients[: n * accumulation].reshape(accumulation, n, *gradients.shape[1:]).mean(axis=0)
