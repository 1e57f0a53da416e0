# fails with: the own return is part of its baseline
def baseline(returns):
    return returns - returns.mean(axis=0)
