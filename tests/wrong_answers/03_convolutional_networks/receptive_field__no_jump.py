# fails with: strides before a layer multiply
def receptive_field(stack):
    size = 1
    for kernel, _ in stack:
        size += kernel - 1
    return size
