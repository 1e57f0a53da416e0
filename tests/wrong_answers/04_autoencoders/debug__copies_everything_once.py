# fails with: the targets are not the clean examples
def fixed_batches(x, sigma, batch_size, rng):
    x = x.copy()
    for start in range(0, len(x), batch_size):
        clean = x[start : start + batch_size]
        damaged = clean
        damaged += sigma * rng.normal(size=clean.shape)
        np.clip(damaged, 0, 1, out=damaged)
        yield damaged, clean
