# fails with: the 784 inputs have no biases
def parameter_count(sizes):
    return sum(sizes[i] * sizes[i + 1] for i in range(len(sizes) - 1)) + sum(sizes)
