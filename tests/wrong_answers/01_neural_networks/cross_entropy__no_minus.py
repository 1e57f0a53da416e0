# fails with: the loss is minus that and positive
def cross_entropy(probabilities, labels):
    return float(np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)).mean())
