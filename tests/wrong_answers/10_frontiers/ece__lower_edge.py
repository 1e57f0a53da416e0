# fails with: 0.6 belongs to the bin
def ece(probability, y, bins=10):
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == y
    total = 0.0
    for b in range(bins):
        inside = np.clip(np.floor(confidence * bins + 1e-12), 0, bins - 1) == b
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total)
