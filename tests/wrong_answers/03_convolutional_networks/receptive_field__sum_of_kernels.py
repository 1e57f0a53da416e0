# fails with: neighbouring windows overlap
def receptive_field(stack):
    return sum(kernel for kernel, _ in stack) if stack else 1
