# fails with: after clipping
def reconstruction_loss(x, x_hat, kind):
    x, x_hat = x.reshape(len(x), -1), x_hat.reshape(len(x), -1)
    if kind == "mse":
        return np.mean((x - x_hat) ** 2, axis=1)
    if kind == "bce":
        x_hat = x_hat + 0.0
        return -np.mean(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat), axis=1)
    raise ValueError(f"kind: expected 'mse' or 'bce', got {kind!r}")
