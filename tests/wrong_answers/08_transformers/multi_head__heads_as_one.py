# fails with: square root of its own size
def multi_head(x, wq, wk, wv, wo, mask=None):
    q, k, v = (x @ w.reshape(w.shape[0], -1) for w in (wq, wk, wv))
    output, _ = scaled_dot_product(q, k, v, mask)
    return output @ wo.reshape(-1, wo.shape[-1])
