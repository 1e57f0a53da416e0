# fails with: the state stays as it was after the prompt
def fixed_write(step, state, prompt, length, choose):
    if len(prompt) == 0:
        raise ValueError("the prompt is empty")
    for character in prompt:
        logits, state = step(character, state)
    written = []
    for _ in range(length):
        character = choose(logits)
        written.append(character)
        logits, _ = step(character, state)
    return written
