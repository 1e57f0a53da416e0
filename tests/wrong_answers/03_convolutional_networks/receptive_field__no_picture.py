# fails with: expected 1 for an empty list
def receptive_field(stack):
    size, jump = 1, 1
    if not stack:
        return 0
    for kernel, stride in stack:
        size += (kernel - 1) * jump
        jump *= stride
    return size
