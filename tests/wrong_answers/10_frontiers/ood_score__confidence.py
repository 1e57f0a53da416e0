# fails with: not on the softmax
def ood_score(logits, temperature=1.0):
    return 1 - special.softmax(logits / temperature, axis=1).max(axis=1)
