# fails with: with other W the first dx
def zero_convolution(x, W, b, delta):
    fx, fd = x.reshape(-1, x.shape[-1]), delta.reshape(-1, delta.shape[-1])
    return x @ W + b, np.zeros_like(x), fx.T @ fd, fd.sum(axis=0)
