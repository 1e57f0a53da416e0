# fails with: need 3 calls of the model
def fixed_generate(logits_of, prompts, new_tokens, pad):
    answers = []
    for prompt in prompts:
        row = list(prompt)
        for _ in range(new_tokens):
            row.append(int(np.argmax(logits_of(np.array([row]))[0, -1])))
        answers.append(row[len(prompt) :])
    return answers
