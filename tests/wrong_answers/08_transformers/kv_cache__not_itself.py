# fails with: itself included
def kv_cache(x, cache, wq, wk, wv):
    keys = np.concatenate([cache[0], (x @ wk)[None]])
    values = np.concatenate([cache[1], (x @ wv)[None]])
    output, _ = scaled_dot_product(
        (x @ wq)[None], keys[:-1] if len(keys) > 1 else keys, values[:-1] if len(keys) > 1 else values
    )
    return output[0], (keys, values)
