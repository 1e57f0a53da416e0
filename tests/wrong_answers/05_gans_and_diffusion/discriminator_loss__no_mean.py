# fails with: take the mean over the batch
def discriminator_loss(real_logits, fake_logits):
    return np.logaddexp(0, -real_logits) + np.logaddexp(0, fake_logits)
