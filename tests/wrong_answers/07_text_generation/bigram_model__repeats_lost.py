# fails with: repeated pairs add up
def bigram_model(ids, size, smoothing):
    counts = np.full((size, size), float(smoothing))
    counts[ids[:-1], ids[1:]] += 1
    return counts / counts.sum(axis=1, keepdims=True)
