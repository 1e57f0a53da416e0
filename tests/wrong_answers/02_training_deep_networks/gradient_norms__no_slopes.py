# fails with: multiply by the slopes on the way down
def gradient_norms(delta, weights, slopes):
    norms = [float(np.linalg.norm(delta))]
    for W, slope in zip(reversed(weights), reversed(slopes), strict=True):
        delta = delta @ W.T
        norms.append(float(np.linalg.norm(delta)))
    return norms[::-1]
