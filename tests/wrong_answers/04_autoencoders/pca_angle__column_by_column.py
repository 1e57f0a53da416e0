# fails with: compare subspaces, not columns
def pca_angle(A, B):
    A, B = A / np.linalg.norm(A, axis=0), B / np.linalg.norm(B, axis=0)
    cosines = np.abs(np.sum(A * B, axis=0))
    return float(np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))))
