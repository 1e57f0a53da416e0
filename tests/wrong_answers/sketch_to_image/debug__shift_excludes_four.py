# fails with: all shifts from -4 to 4
def fixed_augment(photo, hint, rng):
    if rng.random() < 0.5:
        photo, hint = photo[:, ::-1], hint[:, ::-1]
    shift = tuple(rng.integers(-4, 4, size=2))
    return np.roll(photo, shift, axis=(0, 1)), np.roll(hint, shift, axis=(0, 1))
