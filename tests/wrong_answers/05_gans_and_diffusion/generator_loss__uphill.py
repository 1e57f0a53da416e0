# fails with: must be cheaper
def generator_loss(fake_logits, saturating=False):
    loss = float(np.mean(np.logaddexp(0, fake_logits)))
    return -loss if saturating else loss
