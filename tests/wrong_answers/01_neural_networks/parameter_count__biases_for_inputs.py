# fails with: the 784 inputs have no biases
def parameter_count(sizes):
    return sum(a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True)) + sum(sizes)
