# fails with: use up patience 3
def early_stopping(losses, patience, min_delta=0.0):
    best, best_loss, waited, epoch = -1, np.inf, 0, -1
    for epoch, loss in enumerate(losses):
        if loss < best_loss - min_delta:
            best, best_loss, waited = epoch, loss, 0
        else:
            waited += 1
            if waited > patience:
                break
    return epoch, best
