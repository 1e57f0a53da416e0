# fails with: which logits belong to its last real token
def fixed_generate(logits_of, prompts, new_tokens, pad):
    longest = max(len(prompt) for prompt in prompts)
    tokens = np.full((len(prompts), longest + new_tokens), pad)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = prompt
    for place in range(longest, longest + new_tokens):
        logits = logits_of(tokens[:, :place])
        tokens[:, place] = logits[:, -1].argmax(axis=1)
    return tokens[:, longest:].tolist()
