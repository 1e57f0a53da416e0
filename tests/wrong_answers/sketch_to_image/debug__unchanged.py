# fails with: came out different
def fixed_augment(photo, hint, rng):
    if rng.random() < 0.5:
        photo = photo[:, ::-1]
    if rng.random() < 0.5:
        hint = hint[:, ::-1]
    down, right = rng.integers(-4, 5, size=2)
    return np.roll(photo, (down, right), axis=(0, 1)), np.roll(hint, (right, down), axis=(0, 1))
