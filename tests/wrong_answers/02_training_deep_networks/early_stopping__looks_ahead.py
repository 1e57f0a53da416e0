# fails with: use up patience 3, so training stops before 0.1 is seen
def early_stopping(losses, patience, min_delta=0.0):
    return len(losses) - 1, int(np.argmin(losses))
