# fails with: stride 2 on 5 x 5 pixels gives 2 x 2
def conv2d(x, kernel, bias, stride=1, padding=0):
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    k_h, k_w, _, c_out = kernel.shape
    output = np.empty((x.shape[0] - k_h + 1, x.shape[1] - k_w + 1, c_out))
    for i, j in np.ndindex(output.shape[:2]):
        window = x[i : i + k_h, j : j + k_w]
        output[i, j] = np.tensordot(window, kernel, axes=3) + bias
    return output
