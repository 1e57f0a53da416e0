# fails with: unseen pairs must not get probability 0
def bigram_model(ids, size, smoothing):
    counts = np.zeros((size, size))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) + np.where(
        counts.sum(axis=1, keepdims=True) > 0, 0, 1 / size
    )
