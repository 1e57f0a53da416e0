# fails with: is dropout on
def fixed_mc_dropout(model, x, passes):
    probabilities = np.array([np.asarray(ops.softmax(model(x))) for _ in range(passes)])
    return probabilities.mean(axis=0), probabilities.std(axis=0).max(axis=1)
