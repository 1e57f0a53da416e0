# fails with: reverse a copy
def encoder_decoder(widths):
    def stack(sizes, last):
        hidden = [layers.Dense(units, activation="relu") for units in sizes[1:-1]]
        return keras.Sequential([keras.Input((sizes[0],)), *hidden, layers.Dense(sizes[-1], activation=last)])

    encoder = stack(widths, None)
    widths.reverse()
    return encoder, stack(widths, "sigmoid")
