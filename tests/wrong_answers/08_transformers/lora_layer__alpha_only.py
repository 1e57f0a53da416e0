# fails with: divide alpha by the rank
def lora_layer(x, kernel, bias, a, b, alpha):
    rank = a.shape[1]
    return x @ kernel + bias + alpha * ((x @ a) @ b)
