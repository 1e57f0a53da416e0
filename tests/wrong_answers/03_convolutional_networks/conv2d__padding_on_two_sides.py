# fails with: 4 x 4 outputs
def conv2d(x, kernel, bias, stride=1, padding=0):
    x = np.pad(x, ((padding, 0), (padding, 0), (0, 0)))
    k_h, k_w, _, c_out = kernel.shape
    output = np.empty(((x.shape[0] - k_h) // stride + 1, (x.shape[1] - k_w) // stride + 1, c_out))
    for i, j in np.ndindex(output.shape[:2]):
        window = x[i * stride : i * stride + k_h, j * stride : j * stride + k_w]
        output[i, j] = np.tensordot(window, kernel, axes=3) + bias
    return output
