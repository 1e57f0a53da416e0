# fails with: recall 3/7
def control_f1(generated, truth, tolerance=1):
    if not generated.any() or not truth.any():
        return float(generated.any() == truth.any())
    return float(ndimage.binary_dilation(truth, np.ones((2 * tolerance + 1,) * 2))[generated].mean())
