# fails with: cannot be differentiated
def policy_gradient_loss(logits, actions, advantages):
    z = np.asarray(logits)
    z = z - z.max(axis=-1, keepdims=True)
    log_policy = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -np.mean(log_policy[np.arange(len(z)), actions] * np.asarray(advantages))
