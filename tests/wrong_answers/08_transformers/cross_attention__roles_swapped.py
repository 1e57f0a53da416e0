# fails with: Queries come from y
def cross_attention(y, memory, real, wq, wk, wv):
    return scaled_dot_product(memory @ wq, y @ wk, y @ wv)
