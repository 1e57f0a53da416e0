# fails with: the characters come from choose
def fixed_write(step, state, prompt, length, choose):
    if len(prompt) == 0:
        raise ValueError("the prompt is empty")
    for character in prompt:
        logits, state = step(character, state)
    written = []
    for _ in range(length):
        written.append(int(np.argmax(logits)))
        logits, state = step(written[-1], state)
    return written
