# fails with: not of each example
def ece(probability, y, bins=10):
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == y
    return float(np.mean(np.abs(confidence - correct)))
