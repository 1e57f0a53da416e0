# fails with: clean has the type float64
def fixed_batches(x, sigma, batch_size, rng):
    for start in range(0, len(x), batch_size):
        clean = x[start : start + batch_size].astype("float64")
        damaged = np.clip(clean + sigma * rng.normal(size=clean.shape), 0, 1)
        yield damaged.astype("float32"), clean
