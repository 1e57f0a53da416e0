# fails with: differs from Keras for 4 layers
def mlp_forward(x, layers):
    W, b = layers[0]
    if len(layers) == 1:
        return x @ W + b
    h = np.maximum(x @ W + b, 0.0)
    for W, b in layers[1:]:
        h = h @ W + b
    return h
