# fails with: white space only
def complete_pairs(photos, sketches, captions):
    stems = lambda names: {Path(n).stem for n in names}
    have = {"photo": stems(photos), "sketch": stems(sketches), "caption": stems(captions)}
    missing = {s: sorted(p for p in have if s not in have[p]) for s in set().union(*have.values())}
    return sorted(s for s in missing if not missing[s]), {s: m for s, m in missing.items() if m}
