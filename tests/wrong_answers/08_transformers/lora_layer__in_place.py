# fails with: kernel was changed in place
def lora_layer(x, kernel, bias, a, b, alpha):
    kernel += alpha / a.shape[1] * (a @ b)
    return x @ kernel + bias
