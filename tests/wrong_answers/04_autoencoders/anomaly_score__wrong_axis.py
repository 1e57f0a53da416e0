# fails with: 3 examples need 3 scores
def anomaly_score(errors, normal_errors):
    if len(normal_errors) == 0:
        raise ValueError("empty")
    return np.mean(errors[:, None] > normal_errors[None, :], axis=0)
