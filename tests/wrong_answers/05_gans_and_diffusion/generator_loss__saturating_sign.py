# fails with: check the outer sign
def generator_loss(fake_logits, saturating=False):
    return float(np.mean(np.logaddexp(0, fake_logits if saturating else -fake_logits)))
