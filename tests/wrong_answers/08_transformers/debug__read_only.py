# fails with: at which place is the new one written
def fixed_generate(logits_of, prompts, new_tokens, pad):
    lengths = np.array([len(prompt) for prompt in prompts])
    longest = lengths.max()
    tokens = np.full((len(prompts), longest + new_tokens), pad)
    for row, prompt in zip(tokens, prompts):
        row[: len(prompt)] = prompt
    for step in range(new_tokens):
        logits = logits_of(tokens[:, : longest + step])
        tokens[:, longest + step] = logits[np.arange(len(prompts)), lengths - 1 + step].argmax(axis=1)
    return tokens[:, longest:].tolist()
