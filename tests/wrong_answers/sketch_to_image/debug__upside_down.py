# fails with: no flip and shift
def fixed_augment(photo, hint, rng):
    if rng.random() < 0.5:
        photo, hint = photo[::-1], hint[::-1]
    shift = tuple(rng.integers(-4, 5, size=2))
    return np.roll(photo, shift, axis=(0, 1)), np.roll(hint, shift, axis=(0, 1))
