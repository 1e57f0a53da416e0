# fails with: w = 1 gave the first half
def guidance(noise, scale):
    if len(noise) % 2:
        raise ValueError("odd")
    n = len(noise) // 2
    return noise[n:] + scale * (noise[:n] - noise[n:])
