# fails with: the mask is ignored
def multi_head(x, wq, wk, wv, wo, mask=None):
    q, k, v = (np.einsum("bnd,dhs->bhns", x, w) for w in (wq, wk, wv))
    output, _ = scaled_dot_product(q, k, v)
    return np.einsum("bhns,hsd->bnd", output, wo)
