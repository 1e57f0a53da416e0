# fails with: Try all losses as thresholds
def membership_inference(member_losses, other_losses):
    member_losses, other_losses = np.asarray(member_losses), np.asarray(other_losses)
    thresholds = [np.median(np.concatenate([member_losses, other_losses]))]
    gaps = [np.mean(member_losses <= t) - np.mean(other_losses <= t) for t in thresholds]
    return float(max(0.0, *gaps))
