# fails with: two halves
def positional_encoding(positions, d):
    if d % 2:
        raise ValueError(f"d: expected an even number of features, got {d}")
    phase = np.asarray(positions)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    encoding = np.empty((len(phase), d))
    encoding[:, : d // 2] = np.sin(phase)
    encoding[:, d // 2 :] = np.cos(phase)
    return encoding
