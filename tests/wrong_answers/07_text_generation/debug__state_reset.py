# fails with: the state starts again from the beginning
def fixed_write(step, state, prompt, length, choose):
    if len(prompt) == 0:
        raise ValueError("the prompt is empty")
    start = state
    for character in prompt:
        logits, state = step(character, state)
    written = []
    state = start
    for _ in range(length):
        written.append(choose(logits))
        logits, state = step(written[-1], state)
    return written
