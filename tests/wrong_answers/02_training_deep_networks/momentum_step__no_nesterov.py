# fails with: Nesterov: 1 + 0.9
def momentum_step(theta, velocity, gradient, eta, beta, nesterov=False):
    velocity = beta * velocity - eta * gradient
    return theta + velocity, velocity
