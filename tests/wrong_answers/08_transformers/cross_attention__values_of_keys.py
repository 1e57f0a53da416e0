# fails with: through wv
def cross_attention(y, memory, real, wq, wk, wv):
    return scaled_dot_product(y @ wq, memory @ wk, memory @ wk, np.asarray(real)[:, None, :])
