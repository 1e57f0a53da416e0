# fails with: expected one ᾱ for each
def alpha_bar(betas):
    return np.prod(1 - betas)
