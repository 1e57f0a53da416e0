# fails with: ValueError must be raised
def causal_mask(queries, keys=None):
    keys = queries if keys is None else keys
    return np.arange(keys) <= (np.arange(queries) + keys - queries)[:, None]
