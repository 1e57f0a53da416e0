# fails with: the smallest angle
def pca_angle(A, B):
    cosines = np.linalg.svd(np.linalg.qr(A)[0].T @ np.linalg.qr(B)[0], compute_uv=False)
    return float(np.degrees(np.arccos(np.clip(cosines.max(), 0, 1))))
