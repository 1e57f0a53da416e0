# fails with: do not sort errors
def anomaly_score(errors, normal_errors):
    if len(normal_errors) == 0:
        raise ValueError("normal_errors is empty")
    return np.searchsorted(np.sort(normal_errors), np.sort(errors)) / len(normal_errors)
