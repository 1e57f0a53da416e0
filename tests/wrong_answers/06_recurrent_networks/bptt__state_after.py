# fails with: it needs the state BEFORE t
def bptt(x, dh, W, U, b):
    h = [np.zeros_like(dh)]
    for t in range(x.shape[1]):
        h.append(np.tanh(x[:, t] @ W + h[-1] @ U + b))
    dW, dU, db = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    for t in reversed(range(x.shape[1])):
        delta = dh * (1 - h[t + 1] ** 2)
        dW, dU, db = dW + x[:, t].T @ delta, dU + h[t + 1].T @ delta, db + delta.sum(axis=0)
        dh = delta @ U.T
    return dW, dU, db
