# fails with: not with (1 - β)η
def momentum_step(theta, velocity, gradient, eta, beta, nesterov=False):
    velocity = beta * velocity - (1 - beta) * eta * gradient
    step = beta * velocity - eta * gradient if nesterov else velocity
    return theta + step, velocity
