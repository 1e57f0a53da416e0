# fails with: expected the shapes
def zero_convolution(x, W, b, delta):
    fx, fd = x.reshape(-1, x.shape[-1]), delta.reshape(-1, delta.shape[-1])
    return x @ W + b, delta @ W.T, fd.T @ fx, fd.sum(axis=0)
