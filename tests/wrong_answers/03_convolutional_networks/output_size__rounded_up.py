# fails with: windows that do not fit are dropped
def output_size(n, kernel, stride=1, padding=0, dilation=1):
    if padding == "same":
        return -(-n // stride)
    span = dilation * (kernel - 1) + 1
    if n + 2 * padding < span:
        raise ValueError(f"{span} does not fit into {n}")
    return -(-(n + 2 * padding - span) // stride) + 1
