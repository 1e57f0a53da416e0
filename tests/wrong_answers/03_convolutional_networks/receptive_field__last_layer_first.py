# fails with: the list begins with the first layer
def receptive_field(stack):
    size, jump = 1, 1
    for kernel, stride in reversed(stack):
        size += (kernel - 1) * jump
        jump *= stride
    return size
