# fails with: expected float32 twice
def normalise(photo, sketch, hint_range=(0.0, 1.0), invert=True):
    ink = 1 - sketch / 255 if invert else sketch / 255
    return photo / 127.5 - 1, hint_range[0] + (hint_range[1] - hint_range[0]) * ink
