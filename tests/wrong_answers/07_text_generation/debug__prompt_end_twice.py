# fails with: the last character of the prompt was read twice
def fixed_write(step, state, prompt, length, choose):
    if len(prompt) == 0:
        raise ValueError("the prompt is empty")
    for character in prompt:
        logits, state = step(character, state)
    written = []
    character = prompt[-1]
    for _ in range(length):
        logits, state = step(character, state)
        character = choose(logits)
        written.append(character)
    return written
