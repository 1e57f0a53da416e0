# fails with: got the sum over the examples
def cross_entropy(probabilities, labels):
    picked = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(picked, 1e-7)).sum())
