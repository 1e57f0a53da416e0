# fails with: without pooling the dense layer
def cnn_builder(input_shape, filters, classes):
    model = keras.Sequential([keras.Input(input_shape)])
    for count in filters:
        model.add(layers.Conv2D(count, 3, padding="same", activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(classes))
    return model
