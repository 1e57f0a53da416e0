# fails with: apply ReLU between the layers
def mlp_forward(x, layers):
    for W, b in layers:
        x = x @ W + b
    return x
