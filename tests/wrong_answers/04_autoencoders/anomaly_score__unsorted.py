# fails with: may come in any order
def anomaly_score(errors, normal_errors):
    if len(normal_errors) == 0:
        raise ValueError("empty")
    return np.searchsorted(normal_errors, errors) / len(normal_errors)
