# fails with: padding counts on both sides
def output_size(n, kernel, stride=1, padding=0, dilation=1):
    if padding == "same":
        return -(-n // stride)
    span = dilation * (kernel - 1) + 1
    if n + padding < span:
        raise ValueError(f"{span} does not fit into {n}")
    return (n + padding - span) // stride + 1
