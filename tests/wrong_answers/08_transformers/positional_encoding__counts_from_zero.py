# fails with: places that are not 0, 1, 2
def positional_encoding(positions, d):
    if d % 2:
        raise ValueError(f"d: expected an even number of features, got {d}")
    phase = np.arange(len(positions))[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    encoding = np.empty((len(phase), d))
    encoding[:, 0::2] = np.sin(phase)
    encoding[:, 1::2] = np.cos(phase)
    return encoding
