# fails with: not left as it is
def lora_layer(x, kernel, bias, a, b, alpha):
    rank = a.shape[1]
    return x @ kernel + bias + ((x @ a) @ b)
