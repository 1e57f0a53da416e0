# fails with: the heat is cut off at 0
def grad_cam(activations, gradients):
    weights = gradients.mean(axis=(0, 1))
    heat = activations @ weights
    return heat / heat.max() if heat.max() > 0 else heat
