# fails with: the weights sum to 0
def edge_kernel(angle):
    right = np.array([[0.0, 0, 1], [0, 0, 2], [0, 0, 1]]) / 4
    return np.cos(np.deg2rad(angle)) * right + np.sin(np.deg2rad(angle)) * right.T
