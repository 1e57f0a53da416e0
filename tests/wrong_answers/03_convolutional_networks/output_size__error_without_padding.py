# fails with: no window of 5 fits into 4 pixels
def output_size(n, kernel, stride=1, padding=0, dilation=1):
    if padding == "same":
        return -(-n // stride)
    if dilation * (kernel - 1) + 1 > n:
        raise ValueError(f"no window of {kernel} fits into {n} pixels")
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
