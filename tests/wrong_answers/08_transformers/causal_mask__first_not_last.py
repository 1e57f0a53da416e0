# fails with: the last of 4 tokens
def causal_mask(queries, keys=None):
    keys = queries if keys is None else keys
    if queries > keys:
        raise ValueError(f"{queries} queries are more than the {keys} keys")
    return np.arange(keys) <= np.arange(queries)[:, None]
