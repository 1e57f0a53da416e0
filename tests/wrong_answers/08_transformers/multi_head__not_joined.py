# fails with: split along the features
def multi_head(x, wq, wk, wv, wo, mask=None):
    q, k, v = (np.einsum("bnd,dhs->bhns", x, w) for w in (wq, wk, wv))
    output, _ = scaled_dot_product(q, k, v, mask)
    return np.einsum(
        "bhns,hsd->bnd", output.mean(axis=1, keepdims=True), wo[:1]
    )  # np.einsum("bhns,hsd->bnd", output, wo)
