# fails with: the mean runs over the steps
def baseline(returns):
    n = returns.shape[1]
    return returns - (returns.sum(axis=1, keepdims=True) - returns) / (n - 1)
