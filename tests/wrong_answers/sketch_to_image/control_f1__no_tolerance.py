# fails with: is found with tolerance 1
def control_f1(generated, truth, tolerance=1):
    if not generated.any() or not truth.any():
        return float(generated.any() == truth.any())
    hits = (generated & truth).sum()
    return float(2 * hits / (generated.sum() + truth.sum()))
