# fails with: infinity and a copy of the start
def fixed_fit(theta, step, validation_loss, epochs):
    best_loss, best = np.inf, theta
    for _ in range(epochs):
        step(theta)
        loss = validation_loss(theta)
        if loss < best_loss:
            best_loss, best = loss, [p.copy() for p in theta]
    return best_loss, best
