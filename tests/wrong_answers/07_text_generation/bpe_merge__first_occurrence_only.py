# fails with: a pair can occur several times in a word
def bpe_merge(words):
    counts = Counter()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += times
    if not counts:
        raise ValueError("nothing to merge")
    best = min(counts, key=lambda pair: (-counts[pair], pair))
    merged = Counter()
    for word, times in words.items():
        at = next((i for i, pair in enumerate(pairwise(word)) if pair == best), None)
        symbols = word if at is None else (*word[:at], "".join(best), *word[at + 2 :])
        merged[tuple(symbols)] += times
    return best, dict(merged)
