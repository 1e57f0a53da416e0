# fails with: drawn independently
def fixed_augment(photo, hint, rng):
    if rng.random() < 0.5:
        photo, hint = photo[:, ::-1], hint[:, ::-1]
    s = rng.integers(-4, 5)
    return np.roll(photo, (s, s), axis=(0, 1)), np.roll(hint, (s, s), axis=(0, 1))
