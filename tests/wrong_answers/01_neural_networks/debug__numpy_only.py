# fails with: cannot be differentiated
def fixed_loss(prediction, target):
    if np.size(prediction) != np.size(target):
        raise ValueError(f"shapes {prediction.shape} and {target.shape}")
    return np.mean((np.ravel(prediction) - np.ravel(target)) ** 2)
