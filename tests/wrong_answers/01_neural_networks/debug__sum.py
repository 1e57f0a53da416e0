# fails with: got the sum of the squared errors
def fixed_loss(prediction, target):
    return ops.sum((ops.reshape(prediction, (-1,)) - ops.reshape(target, (-1,))) ** 2)
