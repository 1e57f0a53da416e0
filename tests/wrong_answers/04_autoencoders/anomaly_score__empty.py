# fails with: a ValueError must be raised
def anomaly_score(errors, normal_errors):
    return np.searchsorted(np.sort(normal_errors), errors) / max(1, len(normal_errors))
