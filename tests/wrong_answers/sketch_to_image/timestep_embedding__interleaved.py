# fails with: cosines 1, 1, then sines
def timestep_embedding(timesteps, width):
    if width % 2:
        raise ValueError("width")
    angles = np.asarray(timesteps)[:, None] * 10000.0 ** (-np.arange(width // 2) / (width // 2))
    return np.stack([np.cos(angles), np.sin(angles)], axis=2).reshape(len(angles), width).astype("float32")
