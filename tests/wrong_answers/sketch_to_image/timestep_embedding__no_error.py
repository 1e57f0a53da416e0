# fails with: expected a ValueError
def timestep_embedding(timesteps, width):
    angles = np.asarray(timesteps)[:, None] * 10000.0 ** (-np.arange(width // 2) / (width // 2))
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
