# fails with: the rule cannot see the future
def early_stopping(losses, patience, min_delta=0.0):
    return len(losses) - 1, int(np.argmin(losses))
