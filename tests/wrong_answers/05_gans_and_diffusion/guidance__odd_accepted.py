# fails with: a ValueError has to be raised
def guidance(noise, scale):
    n = len(noise) // 2
    return noise[:n] + scale * (noise[n : 2 * n] - noise[:n])
