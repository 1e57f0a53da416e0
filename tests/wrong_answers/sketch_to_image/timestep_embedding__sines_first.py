# fails with: the cosines come first
def timestep_embedding(timesteps, width):
    if width % 2:
        raise ValueError("width")
    angles = np.asarray(timesteps)[:, None] * 10000.0 ** (-np.arange(width // 2) / (width // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype("float32")
