# fails with: half of the pairs are flipped
def fixed_augment(photo, hint, rng):
    shift = tuple(rng.integers(-4, 5, size=2))
    return np.roll(photo, shift, axis=(0, 1)), np.roll(hint, shift, axis=(0, 1))
