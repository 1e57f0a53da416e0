# fails with: Keras counts
def parameter_count(sizes):
    if len(sizes) != 3:
        return sizes[0] * sizes[-1] + sizes[-1]
    return (sizes[0] + 1) * sizes[1] + (sizes[1] + 1) * sizes[2]
