# fails with: every unit has a bias too
def parameter_count(sizes):
    return sum(a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))
