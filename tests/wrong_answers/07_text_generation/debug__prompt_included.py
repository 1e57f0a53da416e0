# fails with: the prompt is not part of the result
def fixed_write(step, state, prompt, length, choose):
    if len(prompt) == 0:
        raise ValueError("the prompt is empty")
    written = list(prompt)
    for character in prompt:
        logits, state = step(character, state)
    while len(written) < length:
        written.append(choose(logits))
        logits, state = step(written[-1], state)
    return written
