# fails with: expected a ValueError
def fixed_loader(stored):
    return np.moveaxis(stored, -1, 0).astype("float32") / 255
