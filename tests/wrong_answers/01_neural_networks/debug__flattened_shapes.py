# fails with: the shapes as passed
def fixed_loss(prediction, target):
    prediction, target = ops.reshape(prediction, (-1,)), ops.reshape(target, (-1,))
    if prediction.shape != target.shape:
        raise ValueError(f"shapes {tuple(prediction.shape)} and {tuple(target.shape)}")
    return ops.mean((prediction - target) ** 2)
