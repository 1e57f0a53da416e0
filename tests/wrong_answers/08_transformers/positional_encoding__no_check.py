# fails with: ValueError
def positional_encoding(positions, d):
    d += d % 2
    phase = np.asarray(positions)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    encoding = np.empty((len(phase), d))
    encoding[:, 0::2] = np.sin(phase)
    encoding[:, 1::2] = np.cos(phase)
    return encoding
