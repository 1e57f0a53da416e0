# fails with: w = 1 is the prediction with label
def guidance(noise, scale):
    if len(noise) % 2:
        raise ValueError("odd")
    return noise[::2] + scale * (noise[1::2] - noise[::2])
