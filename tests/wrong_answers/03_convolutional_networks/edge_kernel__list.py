# fails with: expected a NumPy array, got list
def edge_kernel(angle):
    c, s = np.cos(np.deg2rad(angle)) / 8, np.sin(np.deg2rad(angle)) / 8
    return [[-c - s, -2 * s, c - s], [-2 * c, 0, 2 * c], [s - c, 2 * s, c + s]]
