# fails with: were changed
def momentum_step(theta, velocity, gradient, eta, beta, nesterov=False):
    velocity *= beta
    velocity -= eta * gradient
    theta += beta * velocity - eta * gradient if nesterov else velocity
    return theta, velocity
