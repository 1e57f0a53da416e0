# fails with: d has a sketch alone
def complete_pairs(photos, sketches, captions):
    stems = lambda names: {Path(n).stem for n in names}
    have = {
        "photo": stems(photos),
        "sketch": stems(sketches),
        "caption": stems(n for n, t in captions.items() if t.strip()),
    }
    missing = {s: sorted(p for p in have if s not in have[p]) for s in have["photo"]}
    return sorted(s for s in missing if not missing[s]), {s: m for s, m in missing.items() if m}
