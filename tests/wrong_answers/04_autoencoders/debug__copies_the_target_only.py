# fails with: the training data were changed
def fixed_batches(x, sigma, batch_size, rng):
    for start in range(0, len(x), batch_size):
        damaged = x[start : start + batch_size]
        clean = damaged.copy()
        damaged += sigma * rng.normal(size=clean.shape)
        np.clip(damaged, 0, 1, out=damaged)
        yield damaged, clean
