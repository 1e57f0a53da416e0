# fails with: is the non-saturating loss
def generator_loss(fake_logits, saturating=False):
    return float(-np.mean(np.logaddexp(0, fake_logits)))
