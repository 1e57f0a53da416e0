# fails with: in radians
def pca_angle(A, B):
    cosines = np.linalg.svd(np.linalg.qr(A)[0].T @ np.linalg.qr(B)[0], compute_uv=False)
    return float(np.arccos(np.clip(cosines.min(), 0, 1)))
