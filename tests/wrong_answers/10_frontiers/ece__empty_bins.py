# fails with: bins without any example
def ece(probability, y, bins=10):
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == y
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total)
