# fails with: only 0.1 is strictly smaller than 0.2
def anomaly_score(errors, normal_errors):
    if len(normal_errors) == 0:
        raise ValueError("empty")
    return np.mean(errors[:, None] >= normal_errors[None, :], axis=1)
