# fails with: must be the frozen one
def lora_layer(x, kernel, bias, a, b, alpha):
    rank = a.shape[1]
    return x @ kernel + alpha / rank * ((x @ a) @ b)
