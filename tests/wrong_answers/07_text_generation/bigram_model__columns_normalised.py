# fails with: each row is a distribution
def bigram_model(ids, size, smoothing):
    counts = np.full((size, size), float(smoothing))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts / counts.sum(axis=0, keepdims=True)
