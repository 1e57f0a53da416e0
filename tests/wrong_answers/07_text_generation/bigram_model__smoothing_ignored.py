# fails with: smoothing is an argument
def bigram_model(ids, size, smoothing):
    counts = np.full((size, size), float(1))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts / counts.sum(axis=1, keepdims=True)
