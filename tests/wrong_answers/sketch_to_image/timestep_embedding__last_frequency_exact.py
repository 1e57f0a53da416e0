# fails with: frequencies 1 and 0.01
def timestep_embedding(timesteps, width):
    if width % 2:
        raise ValueError("width")
    angles = np.asarray(timesteps)[:, None] * 10000.0 ** -np.linspace(0, 1, width // 2)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
