# fails with: subtract them from the returns
def baseline(returns):
    return (returns.sum(axis=0) - returns) / (len(returns) - 1)
