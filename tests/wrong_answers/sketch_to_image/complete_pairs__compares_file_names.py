# fails with: compare stems, not file names
def complete_pairs(photos, sketches, captions):
    have = {"photo": set(photos), "sketch": set(sketches), "caption": {n for n, t in captions.items() if t.strip()}}
    everything = set(photos) | set(sketches) | set(captions)
    missing = {Path(n).stem: sorted(p for p in have if n not in have[p]) for n in everything}
    return sorted(s for s in missing if not missing[s]), {s: m for s, m in missing.items() if m}
