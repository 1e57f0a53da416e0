# fails with: without out=
def reconstruction_loss(x, x_hat, kind):
    x, x_hat = x.reshape(len(x), -1), x_hat.reshape(len(x), -1)
    if kind == "mse":
        return np.mean((x - x_hat) ** 2, axis=1)
    if kind == "bce":
        np.clip(x_hat, 1e-7, 1 - 1e-7, out=x_hat)
        return -np.mean(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat), axis=1)
    raise ValueError(kind)
