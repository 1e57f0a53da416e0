# fails with: this is average pooling
def max_pool(x, size=2, stride=None):
    stride = size if stride is None else stride
    height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
    output = np.empty((x.shape[0], height, width, x.shape[3]))
    for i, j in np.ndindex(height, width):
        window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
        output[:, i, j] = window.mean(axis=(1, 2))
    return output
