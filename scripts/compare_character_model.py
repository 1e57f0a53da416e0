"""Measure the character model of lecture 7 and its rivals on equal terms: n-gram models of the same 36 plays.

    python scripts/compare_character_model.py

Adds to lectures/weights/character_model.json, for the network and for the counts: bits per character on The Tempest
and Macbeth, the difference with its interval, and which share of the words of 200 texts written at T = 0.7 occurs in
the training plays.
"""

import json
import re
import time
from pathlib import Path

from utils import datasets, runtime
from utils.files import write_text

import keras
import numpy as np
from scipy import special
from train_character_model import EMBEDDING, RESULT, build, to_ids

ROWS, LENGTH, TEMPERATURE, ORDERS, SAMPLE = 200, 300, 0.7, 8, 360
DISCOUNTS = (0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
WORD = re.compile("[a-z']+")


def codes(ids: np.ndarray, n: int, size: int) -> np.ndarray:
    """Return every run of n ids as one integer: its digits to the base `size`."""
    found = np.zeros(len(ids) - n + 1, dtype="int64")
    for k in range(n):
        found = found * size + ids[k : len(ids) - n + 1 + k]
    return found


def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the value of each wanted key, 0 where it is not among the sorted keys."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def table(runs: np.ndarray, counts: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Return runs, their counts, contexts, how often each was seen, and with how many different followers."""
    contexts, first, different = np.unique(runs // size, return_index=True, return_counts=True)
    return runs, counts, contexts, np.add.reduceat(counts, first), different


class Counts:
    """Interpolated n-gram models of all orders up to ORDERS: Witten and Bell's, or Kneser and Ney's with a discount."""

    def __init__(self, ids: np.ndarray, size: int) -> None:
        self.size = size
        seen = [np.unique(codes(ids, n + 1, size), return_counts=True) for n in range(ORDERS + 1)]
        self.tables = [table(*found, size) for found in seen]
        before = [np.unique(seen[n + 1][0] % size ** (n + 1), return_counts=True) for n in range(ORDERS)]
        self.continued = [table(*found, size) for found in before]  # counts of different symbols before a run

    def next(
        self,
        n: int,
        order: int,
        shorter: np.ndarray,
        context: np.ndarray,
        following: np.ndarray,
        discount: float | None,
    ) -> np.ndarray:
        """One step of the interpolation, from the shorter order's probability."""
        source = self.tables if discount is None or n == order else self.continued
        runs, counts, contexts, totals, different = source[n]
        total, handed = look_up(contexts, totals, context), look_up(contexts, different, context)
        count = look_up(runs, counts, context * self.size + following)
        if discount is None:
            return np.where(total > 0, (count + handed * shorter) / np.maximum(total + handed, 1), shorter)
        kept = np.maximum(count - discount, 0) + discount * handed * shorter
        return np.where(total > 0, kept / np.maximum(total, 1), shorter)

    def bits(self, ids: np.ndarray, order: int, discount: float | None = None) -> np.ndarray:
        """Return the surprise of the characters that have a context of ORDERS characters."""
        p = np.full(len(ids) - ORDERS, 1 / self.size)
        for n in range(order + 1):
            run = codes(ids, n + 1, self.size)[ORDERS - n :]
            p = self.next(n, order, p, run // self.size, run % self.size, discount)
        return -np.log2(p)

    def write(self, order: int, start: np.ndarray, discount: float | None = None) -> np.ndarray:
        """Return ROWS texts, drawn at TEMPERATURE."""
        rng, written = np.random.default_rng(order), np.tile(start, (ROWS, 1)).astype("int64")
        for _ in range(LENGTH):
            p = np.full((ROWS, self.size), 1 / self.size)
            for n in range(order + 1):
                context = codes(written[:, written.shape[1] - n :].T, n, self.size)[0] if n else np.zeros(ROWS, "int64")
                p = self.next(n, order, p, context[:, None], np.arange(self.size)[None], discount)
            drawn = (np.log(np.maximum(p, 1e-300)) / TEMPERATURE + rng.gumbel(size=p.shape)).argmax(axis=1)
            written = np.concatenate([written, drawn[:, None]], axis=1)
        return written[:, len(start) :]


def network_writes(model: keras.Model, start: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ROWS texts of the network, drawn at TEMPERATURE; the model reads one character at a time."""
    for i in start:
        logits = model.predict_on_batch(np.full((ROWS, 1), i))
    written = []
    for _ in range(LENGTH):
        drawn = (logits[:, -1] / TEMPERATURE + rng.gumbel(size=logits[:, -1].shape)).argmax(axis=1)
        written.append(drawn)
        logits = model.predict_on_batch(drawn[:, None])
    return np.stack(written, axis=1)


def network_bits(weights: list[np.ndarray], ids: np.ndarray, size: int, rows: int = 64) -> np.ndarray:
    """Return the surprise of ids[1], ids[2], ..., read in `rows` parts, each from a state of 0."""
    length = (len(ids) - 1) // rows
    model = build(size, weights[2].shape[0], rows, length)
    model.set_weights(weights)
    x, y = (ids[k : k + rows * length].reshape(rows, length) for k in (0, 1))
    log_p = special.log_softmax(model.predict_on_batch(x), axis=-1)
    return -np.take_along_axis(log_p, y[..., None], axis=-1).ravel() / np.log(2)


def gap(network: np.ndarray, counted: np.ndarray) -> list[float]:
    """Return counts minus network on Macbeth with a 95 % interval: a bootstrap over blocks of 500 characters."""
    network = network[ORDERS - 1 :]
    blocks = (counted[: len(network)] - network)[: len(network) // 500 * 500].reshape(-1, 500).mean(axis=1)
    draws = np.random.default_rng(0).integers(0, len(blocks), (2000, len(blocks)))
    return [round(float(v), 4) for v in (blocks.mean(), *np.percentile(blocks[draws].mean(axis=1), [2.5, 97.5]))]


def share_of_words(texts: list[str], known: set[str]) -> dict[str, list[float]]:
    """Return the share of known words with a 95 % bootstrap interval over texts, for all words and for long ones."""
    found = {}
    for name, shortest in (("all", 1), ("of four letters or more", 4)):
        words = [[w for w in WORD.findall(re.sub(r"^\S*|\S*$", "", t.lower())) if len(w) >= shortest] for t in texts]
        hits, sizes = (np.array([f(row) for row in words]) for f in (lambda r: sum(w in known for w in r), len))
        draws = np.random.default_rng(0).integers(0, len(texts), (2000, len(texts)))
        interval = np.percentile(hits[draws].sum(axis=1) / sizes[draws].sum(axis=1), [2.5, 97.5])
        found[name] = [round(float(v), 4) for v in (hits.sum() / sizes.sum(), *interval)]
    return found


def main() -> None:
    runtime.start("fast", seed=0)
    text = datasets.shakespeare("full")
    characters = "".join(sorted(set(text.train)))
    size, known = len(characters), set(WORD.findall(text.train.lower()))
    train, validation, test = (to_ids(part, characters) for part in text)
    start = to_ids("\n\nMESSENGER:\n", characters)

    def to_texts(rows: np.ndarray) -> list[str]:
        return ["".join(characters[i] for i in row) for row in rows]

    clock = time.process_time()
    counts = Counts(train, size)
    seconds = time.process_time() - clock
    bits = {
        name: [round(float(counts.bits(part, n).mean()), 4) for n in range(ORDERS + 1)]
        for name, part in (("tempest", validation), ("macbeth", test))
    }
    grid = [(float(counts.bits(validation, n, d).mean()), n, d) for n in range(4, ORDERS + 1) for d in DISCOUNTS]
    tempest, order, discount = min(grid)
    rival = counts.bits(test, order, discount)
    written = {f"Witten-Bell, order {n}": to_texts(counts.write(n, start)) for n in (3, 4, 5, 6)}
    written[f"Kneser-Ney, order {order}"] = to_texts(counts.write(order, start, discount))
    with np.load(RESULT / "character_model.npz") as saved:
        weights = [saved[name].astype("float32") for name in saved.files]
    model = build(size, weights[2].shape[0], ROWS, 1)
    model.set_weights(weights)
    assert weights[0].shape == (size, EMBEDDING)
    written["network"] = to_texts(network_writes(model, start, np.random.default_rng(0)))
    written["Macbeth"] = [text.test[k * LENGTH : (k + 1) * LENGTH] for k in range(ROWS)]
    words = {name: share_of_words(texts, known) for name, texts in written.items()}
    report = json.loads((RESULT / "character_model.json").read_text())
    report["counts"] = {
        "stored": [len(t[0]) for t in counts.tables],
        "cpu_seconds": round(seconds, 1),
        "bits": bits,
        "kneser_ney": {"order": order, "discount": discount, "tempest": tempest, "macbeth": float(rival.mean())},
        "gap": gap(network_bits(weights, test, size), rival),
    }
    report["sample"] = written["network"][0][:SAMPLE]
    report["words at T = 0.7"] = words
    write_text(Path(RESULT / "character_model.json"), json.dumps(report, indent=1) + "\n")
    print(json.dumps({"counts": report["counts"], "words": words}, indent=1))
    print(report["sample"])


if __name__ == "__main__":
    main()
