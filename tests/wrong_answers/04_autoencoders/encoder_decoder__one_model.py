# fails with: expected (encoder, decoder), got Sequential
def encoder_decoder(widths):
    def stack(sizes, last):
        hidden = [layers.Dense(units, activation="relu") for units in sizes[1:-1]]
        return keras.Sequential([keras.Input((sizes[0],)), *hidden, layers.Dense(sizes[-1], activation=last)])

    return keras.Sequential([stack(widths, None), stack(widths[::-1], "sigmoid")])
