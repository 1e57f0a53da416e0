# fails with: 3 layers give a list of 3 norms
def gradient_norms(delta, weights, slopes):
    norms = [float(np.linalg.norm(delta))]
    for W, slope in zip(reversed(weights), reversed(slopes), strict=True):
        delta = (delta @ W.T) * slope
        norms.append(float(np.linalg.norm(delta)))
    return norms[:0:-1]
