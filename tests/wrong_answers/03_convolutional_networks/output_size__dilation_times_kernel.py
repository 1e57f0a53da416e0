# fails with: spans 4 · 2 + 1 = 9
def output_size(n, kernel, stride=1, padding=0, dilation=1):
    if padding == "same":
        return -(-n // stride)
    return (n + 2 * padding - dilation * kernel) // stride + 1
