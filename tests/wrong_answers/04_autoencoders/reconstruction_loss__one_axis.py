# fails with: 2 losses, got shape (2, 1)
def reconstruction_loss(x, x_hat, kind):
    if kind == "mse":
        return np.mean((x - x_hat) ** 2, axis=-1)
    x_hat = np.clip(x_hat, 1e-7, 1 - 1e-7)
    return -np.mean(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat), axis=-1)
