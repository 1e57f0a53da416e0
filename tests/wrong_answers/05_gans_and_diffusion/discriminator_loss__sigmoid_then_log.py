# fails with: use softplus
def discriminator_loss(real_logits, fake_logits):
    real, fake = 1 / (1 + np.exp(-real_logits)), 1 / (1 + np.exp(-fake_logits))
    return float(-np.mean(np.log(real)) - np.mean(np.log(1 - fake)))
