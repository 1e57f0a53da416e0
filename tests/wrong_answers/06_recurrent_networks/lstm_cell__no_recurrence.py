# fails with: h differs from keras.layers.LSTM at step 2
def lstm_cell(x, h, c, W, U, b):
    z_i, z_f, z_c, z_o = np.split(x @ W + b, 4, axis=1)
    c = expit(z_f) * c + expit(z_i) * np.tanh(z_c)
    return expit(z_o) * np.tanh(c), c
