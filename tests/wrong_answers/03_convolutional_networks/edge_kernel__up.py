# fails with: expected 1 at angle 90
def edge_kernel(angle):
    right = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    return np.cos(np.deg2rad(angle)) * right - np.sin(np.deg2rad(angle)) * right.T
