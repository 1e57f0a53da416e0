# fails with: the first layer's norm comes first
def gradient_norms(delta, weights, slopes):
    norms = [float(np.linalg.norm(delta))]
    for W, slope in zip(reversed(weights), reversed(slopes), strict=True):
        delta = (delta @ W.T) * slope
        norms.append(float(np.linalg.norm(delta)))
    return norms
