# fails with: every 'l', 'o' becomes 'lo'
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
        symbols, i = [], 0
        while i < len(word):
            joined = word[i : i + 2] == best
            symbols.append("".join(word[i : i + 2]) if joined else word[i])
            i += 2 if joined else 1
        merged[tuple(symbols)] = 1
    return best, dict(merged)
