# fails with: one pixel away diagonally
def control_f1(generated, truth, tolerance=1):
    if not generated.any() or not truth.any():
        return float(generated.any() == truth.any())
    grow = lambda m: ndimage.binary_dilation(m, iterations=tolerance) if tolerance else m
    p, r = grow(truth)[generated].mean(), grow(generated)[truth].mean()
    return float(2 * p * r / (p + r)) if p + r else 0.0
