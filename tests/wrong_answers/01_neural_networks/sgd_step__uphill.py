# fails with: this step goes up the hill
def sgd_step(parameters, gradients, learning_rate):
    return [p + learning_rate * g for p, g in zip(parameters, gradients, strict=True)]
