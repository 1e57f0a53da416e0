# fails with: wrong for 1 bins
def ece(probability, y, bins=10):
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == y
    total, bins = 0.0, 10
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total)
