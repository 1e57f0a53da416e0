# fails with: and the first window
def output_size(n, kernel, stride=1, padding=0, dilation=1):
    if padding == "same":
        return -(-n // stride)
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride
