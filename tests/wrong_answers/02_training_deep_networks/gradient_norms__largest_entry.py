# fails with: wrong norms for 7 examples
def gradient_norms(delta, weights, slopes):
    norms = [float(np.linalg.norm(delta, 2))]
    for W, slope in zip(reversed(weights), reversed(slopes), strict=True):
        delta = (delta @ W.T) * slope
        norms.append(float(np.linalg.norm(delta, 2)))
    return norms[::-1]
