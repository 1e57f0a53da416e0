# fails with: has to name both shapes
def fixed_loss(prediction, target):
    if ops.size(prediction) != ops.size(target):
        raise ValueError
    return ops.mean((ops.reshape(prediction, (-1,)) - ops.reshape(target, (-1,))) ** 2)
