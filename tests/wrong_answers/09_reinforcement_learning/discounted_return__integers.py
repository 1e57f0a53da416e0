# fails with: integer rewards give float returns
def discounted_return(rewards, gamma):
    result = np.array(rewards)
    for t in range(len(result) - 2, -1, -1):
        result[t] = result[t] + gamma * result[t + 1]
    return result
