# fails with: hint_range=(-1, 1)
def normalise(photo, sketch, hint_range=(0.0, 1.0), invert=True):
    ink = sketch.astype("float32") / 255
    return photo.astype("float32") / 127.5 - 1, 1 - ink if invert else ink
