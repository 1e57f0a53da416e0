# fails with: perfect predictions of shape (3, 1)
def fixed_loss(prediction, target):
    return ops.mean((prediction - target) ** 2)
