# fails with: make batches of 4, 4 and 2
def fixed_batches(x, sigma, batch_size, rng):
    for start in range(0, len(x) - batch_size + 1, batch_size):
        clean = x[start : start + batch_size]
        damaged = np.clip(clean + sigma * rng.normal(size=clean.shape), 0, 1)
        yield damaged.astype("float32"), clean
