# fails with: share 0.75
def mode_count(samples, modes, radius, share=0.02):
    distances = np.linalg.norm(samples[:, None] - modes, axis=2)
    good = distances.min(axis=1) <= radius
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(modes))
    return int(np.sum(counts >= share * len(samples))), float(good.sum())
