# fails with: theta plus the NEW velocity
def momentum_step(theta, velocity, gradient, eta, beta, nesterov=False):
    new = beta * velocity - eta * gradient
    return theta + velocity, new
