# fails with: expected bool
def causal_mask(queries, keys=None):
    keys = queries if keys is None else keys
    if queries > keys:
        raise ValueError(f"{queries} queries are more than the {keys} keys")
    return np.tril(np.ones((queries, keys)), k=keys - queries)
