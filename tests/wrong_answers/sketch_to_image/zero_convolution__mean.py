# fails with: dW is the sum
def zero_convolution(x, W, b, delta):
    fx, fd = x.reshape(-1, x.shape[-1]), delta.reshape(-1, delta.shape[-1])
    return x @ W + b, delta @ W.T, fx.T @ fd / len(fx), fd.mean(axis=0)
