# fails with: become -1, -0.6, 1
def normalise(photo, sketch, hint_range=(0.0, 1.0), invert=True):
    ink = sketch.astype("float32") / 255
    ink = 1 - ink if invert else ink
    return photo.astype("float32") / 255, hint_range[0] + (hint_range[1] - hint_range[0]) * ink
