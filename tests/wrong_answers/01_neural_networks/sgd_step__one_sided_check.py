# fails with: 0 parameters and 1 gradients
def sgd_step(parameters, gradients, learning_rate):
    if len(parameters) > len(gradients):
        raise ValueError
    return [p - learning_rate * g for p, g in zip(parameters, gradients)]
