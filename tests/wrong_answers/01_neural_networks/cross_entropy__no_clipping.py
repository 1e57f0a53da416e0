# fails with: raise it to 1e-7
def cross_entropy(probabilities, labels):
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())
