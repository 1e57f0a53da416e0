# fails with: your function changed the returns
def baseline(returns):
    returns -= (returns.sum(axis=0) - returns) / (len(returns) - 1)
    return returns
