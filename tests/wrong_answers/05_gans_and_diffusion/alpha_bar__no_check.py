# fails with: a ValueError has to be raised
def alpha_bar(betas):
    return np.cumprod(1 - betas)
