# fails with: own stride does not widen
def receptive_field(stack):
    size, jump = 1, 1
    for kernel, stride in stack:
        jump *= stride
        size += (kernel - 1) * jump
    return size
