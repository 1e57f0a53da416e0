# fails with: shape (batch, 1, n)
def cross_attention(y, memory, real, wq, wk, wv):
    return scaled_dot_product(y @ wq, memory @ wk, memory @ wv, np.asarray(real))
