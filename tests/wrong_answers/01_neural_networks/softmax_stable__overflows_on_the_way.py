# fails with: exp overflows on the way
def softmax_stable(logits):
    return 1 / np.exp(logits[:, None, :] - logits[:, :, None]).sum(axis=2)
