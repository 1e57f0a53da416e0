# fails with: it is 1 - β that multiplies
def alpha_bar(betas):
    return np.cumprod(betas)
