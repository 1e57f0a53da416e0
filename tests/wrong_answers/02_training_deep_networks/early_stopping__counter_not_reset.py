# fails with: an improvement sets the counter back to zero
def early_stopping(losses, patience, min_delta=0.0):
    best, best_loss, waited, epoch = -1, np.inf, 0, -1
    for epoch, loss in enumerate(losses):
        if loss < best_loss - min_delta:
            best, best_loss = epoch, loss
        else:
            waited += 1
            if waited >= patience:
                break
    return epoch, best
