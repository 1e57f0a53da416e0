# fails with: every unit has a bias too
def parameter_count(sizes):
    return sum(sizes[i] * sizes[i + 1] for i in range(len(sizes) - 1))
