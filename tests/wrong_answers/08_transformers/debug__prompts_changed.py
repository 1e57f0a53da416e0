# fails with: the prompts were changed
def fixed_generate(logits_of, prompts, new_tokens, pad):
    starts = [len(prompt) for prompt in prompts]
    for _ in range(new_tokens):
        longest = max(map(len, prompts))
        logits = logits_of(np.array([prompt + [pad] * (longest - len(prompt)) for prompt in prompts]))
        for row, prompt in enumerate(prompts):
            prompt.append(int(logits[row, len(prompt) - 1].argmax()))
    return [prompt[start:] for prompt, start in zip(prompts, starts)]
