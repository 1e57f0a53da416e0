# fails with: subtract each row's own largest logit
def softmax_stable(logits):
    e = np.exp(logits - logits.max())
    return e / e.sum(axis=1, keepdims=True)
