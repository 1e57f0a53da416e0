# fails with: expected shape (4, 2, 3, 1)
def fixed_loader(stored):
    if stored.ndim != 4:
        raise ValueError(f"expected four axes, got shape {stored.shape}")
    return stored.T.astype("float32") / 255
