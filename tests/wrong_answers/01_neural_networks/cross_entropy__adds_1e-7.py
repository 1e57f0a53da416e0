# fails with: take the maximum with 1e-7
def cross_entropy(probabilities, labels):
    return float(-np.log(probabilities[np.arange(len(labels)), labels] + 1e-7).mean())
