# fails with: each sample belongs to its nearest centre only
def mode_count(samples, modes, radius, share=0.02):
    near = np.linalg.norm(samples[:, None] - modes, axis=2) <= radius
    return int(np.sum(near.sum(axis=0) >= share * len(samples))), float(near.any(axis=1).mean())
