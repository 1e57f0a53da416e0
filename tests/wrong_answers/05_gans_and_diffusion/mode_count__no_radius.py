# fails with: a far sample does not count
def mode_count(samples, modes, radius, share=0.02):
    distances = np.linalg.norm(samples[:, None] - modes, axis=2)
    counts = np.bincount(distances.argmin(axis=1), minlength=len(modes))
    return int(np.sum(counts >= share * len(samples))), float(np.mean(distances.min(axis=1) <= radius))
