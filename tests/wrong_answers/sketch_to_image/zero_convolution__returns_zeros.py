# fails with: dW is the sum
def zero_convolution(x, W, b, delta):
    return x @ W + b, delta @ W.T, np.zeros_like(W), delta.reshape(-1, delta.shape[-1]).sum(axis=0)
