# fails with: two empty maps agree
def control_f1(generated, truth, tolerance=1):
    square = np.ones((2 * tolerance + 1,) * 2)
    p = ndimage.binary_dilation(truth, square)[generated].sum() / max(generated.sum(), 1)
    r = ndimage.binary_dilation(generated, square)[truth].sum() / max(truth.sum(), 1)
    return float(2 * p * r / max(p + r, 1e-9))
