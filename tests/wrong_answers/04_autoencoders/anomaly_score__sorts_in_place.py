# fails with: normal_errors was changed
def anomaly_score(errors, normal_errors):
    if len(normal_errors) == 0:
        raise ValueError("empty")
    normal_errors.sort()
    return np.searchsorted(normal_errors, errors) / len(normal_errors)
