# fails with: ᾱ is the product over all steps so far
def alpha_bar(betas):
    return 1 - betas
