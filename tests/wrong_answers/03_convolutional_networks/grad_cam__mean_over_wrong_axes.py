# fails with: the mean runs over height and width
def grad_cam(activations, gradients):
    weights = gradients.mean(axis=(1, 2))
    heat = np.maximum(activations @ weights, 0.0)
    return heat / heat.max() if heat.max() > 0 else heat
