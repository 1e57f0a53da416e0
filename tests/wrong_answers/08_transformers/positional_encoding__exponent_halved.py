# fails with: share one speed
def positional_encoding(positions, d):
    if d % 2:
        raise ValueError(f"d: expected an even number of features, got {d}")
    phase = np.asarray(positions)[:, None] / 10000 ** (np.arange(d // 2) / d)
    encoding = np.empty((len(phase), d))
    encoding[:, 0::2] = np.sin(phase)
    encoding[:, 1::2] = np.cos(phase)
    return encoding
