# fails with: which is 1 - AUC
def roc_auc(scores, labels):
    anomalies, normal = scores[labels == 1], scores[labels == 0]
    if len(anomalies) == 0 or len(normal) == 0:
        raise ValueError("one kind only")
    return float(np.mean(anomalies[:, None] < normal) + 0.5 * np.mean(anomalies[:, None] == normal))
