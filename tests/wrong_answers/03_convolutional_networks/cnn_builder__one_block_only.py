# fails with: parameters expected
def cnn_builder(input_shape, filters, classes):
    model = keras.Sequential([keras.Input(input_shape)])
    model.add(layers.Conv2D(filters[0], 3, padding="same", activation="relu"))
    model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(classes))
    return model
