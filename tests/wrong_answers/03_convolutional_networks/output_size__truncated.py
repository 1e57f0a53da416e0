# fails with: n=4, kernel=5, stride=2, dilation=1: no window fits
def output_size(n, kernel, stride=1, padding=0, dilation=1):
    if padding == "same":
        return -(-n // stride)
    size = int((n + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1
    if size < 1:
        raise ValueError(f"no window of {kernel} fits into {n} pixels")
    return size
