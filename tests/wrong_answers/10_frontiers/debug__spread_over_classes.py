# fails with: one pass has no spread
def fixed_mc_dropout(model, x, passes):
    probabilities = np.array([np.asarray(ops.softmax(model(x, training=True))) for _ in range(passes)])
    return probabilities.mean(axis=0), probabilities.mean(axis=0).std(axis=1)
