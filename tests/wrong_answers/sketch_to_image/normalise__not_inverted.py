# fails with: invert is true by default
def normalise(photo, sketch, hint_range=(0.0, 1.0), invert=True):
    low, high = hint_range
    return photo.astype("float32") / 127.5 - 1, low + (high - low) * sketch.astype("float32") / 255
