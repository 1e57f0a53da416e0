# fails with: 2 pictures of 1 × 2 pixels have 2 losses
def reconstruction_loss(x, x_hat, kind):
    x, x_hat = x.reshape(len(x), -1), x_hat.reshape(len(x), -1)
    if kind == "mse":
        return np.mean((x - x_hat) ** 2)
    if kind == "bce":
        x_hat = np.clip(x_hat, 1e-7, 1 - 1e-7)
        return -np.mean(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat))
    raise ValueError(f"kind: expected 'mse' or 'bce', got {kind!r}")
