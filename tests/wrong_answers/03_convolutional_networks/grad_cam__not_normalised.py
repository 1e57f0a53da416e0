# fails with: divide by the largest heat
def grad_cam(activations, gradients):
    weights = gradients.mean(axis=(0, 1))
    heat = np.maximum(activations @ (2 * weights), 0.0)
    return heat
