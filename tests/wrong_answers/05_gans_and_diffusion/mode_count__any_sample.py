# fails with: with share=0.5 a mode needs 2
def mode_count(samples, modes, radius, share=0.02):
    distances = np.linalg.norm(samples[:, None] - modes, axis=2)
    good = distances.min(axis=1) <= radius
    return len(set(distances.argmin(axis=1)[good])), float(good.mean())
