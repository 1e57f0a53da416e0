# fails with: averaged over all positions
def grad_cam(activations, gradients):
    weights = gradients
    heat = np.maximum((activations * weights).sum(axis=-1), 0.0)
    return heat / heat.max() if heat.max() > 0 else heat
