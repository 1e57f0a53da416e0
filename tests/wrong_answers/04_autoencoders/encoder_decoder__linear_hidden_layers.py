# fails with: differs from ReLU in hidden layers
def encoder_decoder(widths):
    def stack(sizes, last):
        hidden = [layers.Dense(units) for units in sizes[1:-1]]
        return keras.Sequential([keras.Input((sizes[0],)), *hidden, layers.Dense(sizes[-1], activation=last)])

    return stack(widths, None), stack(widths[::-1], "sigmoid")
