# fails with: picture 1, row 0, column 2
def fixed_loader(stored):
    height, width, channels, examples = stored.shape
    return stored.reshape(examples, height, width, channels).astype("float32") / 255
