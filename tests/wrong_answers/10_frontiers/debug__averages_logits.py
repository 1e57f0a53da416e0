# fails with: average probabilities, not logits
def fixed_mc_dropout(model, x, passes):
    logits = np.array([np.asarray(model(x, training=True)) for _ in range(passes)])
    probabilities = np.asarray(ops.softmax(logits))
    return np.asarray(ops.softmax(logits.mean(axis=0))), probabilities.std(axis=0).max(axis=1)
