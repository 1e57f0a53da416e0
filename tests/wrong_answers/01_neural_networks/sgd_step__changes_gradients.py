# fails with: changed the arrays it was given
def sgd_step(parameters, gradients, learning_rate):
    for g in gradients:
        g *= learning_rate
    return [p - g for p, g in zip(parameters, gradients, strict=True)]
