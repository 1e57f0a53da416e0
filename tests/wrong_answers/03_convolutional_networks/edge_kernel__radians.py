# fails with: the angle is in degrees
def edge_kernel(angle):
    right = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    return np.cos(angle) * right + np.sin(angle) * right.T
