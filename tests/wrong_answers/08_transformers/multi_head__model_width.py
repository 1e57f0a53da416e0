# fails with: square root of its own size
def multi_head(x, wq, wk, wv, wo, mask=None):
    q, k, v = (np.einsum("bnd,dhs->bhns", x, w) for w in (wq, wk, wv))
    output, _ = scaled_dot_product(q * np.sqrt(wo.shape[1] / x.shape[-1]), k, v, mask)
    return np.einsum("bhns,hsd->bnd", output, wo)
