# fails with: nesterov=True changed the arrays passed in
def momentum_step(theta, velocity, gradient, eta, beta, nesterov=False):
    velocity = beta * velocity - eta * gradient
    if not nesterov:
        return theta + velocity, velocity
    theta += beta * velocity - eta * gradient
    return theta, velocity
