# fails with: the error has to name n and kernel
def output_size(n, kernel, stride=1, padding=0, dilation=1):
    if padding == "same":
        return -(-n // stride)
    span = dilation * (kernel - 1) + 1
    if n + 2 * padding < span:
        raise ValueError("the kernel does not fit")
    return (n + 2 * padding - span) // stride + 1
