# fails with: do both hold the same examples?
def fixed_batches(x, sigma, batch_size, rng):
    source = rng.permutation(x)
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        damaged = np.clip(source[rows] + sigma * rng.normal(size=source[rows].shape), 0, 1)
        yield damaged.astype("float32"), x[rows]
