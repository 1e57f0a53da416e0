# fails with: divide by 8
def edge_kernel(angle):
    right = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    return np.cos(np.deg2rad(angle)) * right + np.sin(np.deg2rad(angle)) * right.T
