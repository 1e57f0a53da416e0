# fails with: changed the arrays it was given
def sgd_step(parameters, gradients, learning_rate):
    for p, g in zip(parameters, gradients, strict=True):
        p -= learning_rate * g
    return parameters
