# fails with: wrong for logits of 1000
def generator_loss(fake_logits, saturating=False):
    p = 1 / (1 + np.exp(-fake_logits))
    return float(np.mean(np.log(1 - p)) if saturating else -np.mean(np.log(p)))
