# fails with: expected [[1, 0], [0.5, 0]]
def grad_cam(activations, gradients):
    weights = gradients.mean(axis=(0, 1))
    heat = np.sum(np.maximum(activations * weights, 0.0), axis=-1)
    return heat / heat.max() if heat.max() > 0 else heat
