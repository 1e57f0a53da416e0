# fails with: the first epoch wins
def fixed_fit(theta, step, validation_loss, epochs):
    best_loss, best = np.inf, [p.copy() for p in theta]
    for _ in range(epochs):
        step(theta)
        loss = validation_loss(theta)
        if loss <= best_loss:
            best_loss, best = loss, [p.copy() for p in theta]
    return best_loss, best
