# fails with: do not divide by 0
def grad_cam(activations, gradients):
    weights = gradients.mean(axis=(0, 1))
    heat = np.maximum(activations @ weights, 0.0)
    return heat / heat.max()
