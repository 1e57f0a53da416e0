# fails with: changes the arrays
def grad_cam(activations, gradients):
    activations *= gradients.mean(axis=(0, 1))
    heat = np.maximum(activations.sum(axis=-1), 0.0)
    return heat / heat.max() if heat.max() > 0 else heat
