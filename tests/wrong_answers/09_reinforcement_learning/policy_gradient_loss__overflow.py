# fails with: use log_softmax
def policy_gradient_loss(logits, actions, advantages):
    log_policy = ops.log(ops.softmax(ops.convert_to_tensor(logits), axis=-1))
    taken = ops.sum(log_policy * ops.one_hot(actions, logits.shape[-1]), axis=-1)
    return -ops.mean(taken * ops.stop_gradient(ops.convert_to_tensor(advantages)))
