# fails with: a ValueError must be raised
def fixed_loss(prediction, target):
    return ops.mean((ops.reshape(prediction, (-1,)) - ops.reshape(target, (-1,))) ** 2)
