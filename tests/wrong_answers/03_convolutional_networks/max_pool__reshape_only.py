# fails with: cannot reshape array
def max_pool(x, size=2, stride=None):
    stride = stride or size
    if stride != size:
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
        return windows[:, ::stride, ::stride].max(axis=(-2, -1))
    n, h, w, c = x.shape
    return x.reshape(n, h // size, size, w // size, size, c).max(axis=(2, 4))
