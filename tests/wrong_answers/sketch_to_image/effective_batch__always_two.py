# fails with: 3 batches of 8 must give
def effective_batch(gradients, accumulation=2):
    n = len(gradients) // accumulation
    return (
        np.stack(
            [
                (gradients[accumulation * i] + gradients[accumulation * i + min(1, accumulation - 1)]) / 2
                for i in range(n)
            ]
        )
        if n
        else gradients[:0]
    )
