# fails with: split along the features
def multi_head(x, wq, wk, wv, wo, mask=None):
    batch, n, d = x.shape
    heads, size = wo.shape[:2]
    q, k, v = ((x @ w.reshape(d, -1)).reshape(batch, heads, n, size) for w in (wq, wk, wv))
    output, _ = scaled_dot_product(q, k, v, mask)
    return output.transpose(0, 2, 1, 3).reshape(batch, n, -1) @ wo.reshape(-1, d)
