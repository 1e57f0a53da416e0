# fails with: this is the paper's scale
def guidance(noise, scale):
    if len(noise) % 2:
        raise ValueError("odd")
    n = len(noise) // 2
    return (1 + scale) * noise[n:] - scale * noise[:n]
