# fails with: your function changed its input
def guidance(noise, scale):
    if len(noise) % 2:
        raise ValueError(f"{len(noise)} predictions are not pairs")
    without, with_label = noise[: len(noise) // 2], noise[len(noise) // 2 :]
    with_label -= without
    without += scale * with_label
    return without
