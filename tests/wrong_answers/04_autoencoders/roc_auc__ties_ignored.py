# fails with: every pair is a tie
def roc_auc(scores, labels):
    anomalies, normal = scores[labels == 1], scores[labels == 0]
    if len(anomalies) == 0 or len(normal) == 0:
        raise ValueError("one kind only")
    return float(np.mean(anomalies[:, None] > normal))
