# fails with: not counts of all
def membership_inference(member_losses, other_losses):
    member_losses, other_losses = np.asarray(member_losses), np.asarray(other_losses)
    thresholds = np.concatenate([member_losses, other_losses])
    gaps = [(np.sum(member_losses <= t) - np.sum(other_losses <= t)) / len(thresholds) for t in thresholds]
    return float(max(0.0, *gaps))
