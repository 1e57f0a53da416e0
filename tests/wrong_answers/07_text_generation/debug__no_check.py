# fails with: empty prompt: expected a ValueError
def fixed_write(step, state, prompt, length, choose):
    for character in prompt:
        logits, state = step(character, state)
    written = []
    for _ in range(length):
        written.append(choose(logits))
        logits, state = step(written[-1], state)
    return written
