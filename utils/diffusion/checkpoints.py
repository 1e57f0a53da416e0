"""The state of a training run on the disk: ``step-<step>.npz``, whole or not there, and the run's history in it.

Kept are the weights that move, their averages, the optimizer's numbers, the state of the random numbers and the
history, with the configuration and a fingerprint of the data that made them; frozen parts are not. Everything that
trains in this package, the pretraining too, has this format.
"""

import contextlib
import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from utils.files import replacing

import keras
import numpy as np
from keras import ops
from safetensors import SafetensorError

__all__ = [
    "CheckpointError",
    "History",
    "averages",
    "last_checkpoint",
    "load_averages",
    "read_history",
    "restore",
    "save",
]

KEPT = 3  # checkpoints that stay
MAY_CHANGE = {"steps", "save_every", "preview_every", "jit_compile"}  # choices with which a run may go on


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, read, or does not fit."""


@dataclasses.dataclass
class History:
    """What a run recorded, one entry each time it was saved.

    Attributes
    ----------
    step, loss : list
        The step, and the mean loss since the entry before.
    seconds : list of float
        Since the run began; of earlier parts of a run that went on, since they began.
    scores : list of (step, dict of str to float)
        What `preview` returned where it returned numbers by name.
    previews : list of (step, result)
        What `preview` returned otherwise, pictures say. They are not written to the disk.
    """

    step: list[int] = dataclasses.field(default_factory=list)
    loss: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    scores: list[tuple[int, dict[str, float]]] = dataclasses.field(default_factory=list)
    previews: list[tuple[int, Any]] = dataclasses.field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps({name: getattr(self, name) for name in ("step", "loss", "seconds", "scores")})

    @classmethod
    def from_json(cls, text: str) -> "History":
        values = json.loads(text)
        values.pop("run", None)  # what the run was made with, see `restore`
        return cls(**{**values, "scores": [(step, scores) for step, scores in values["scores"]]})


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` that takes its place once it is complete and on the disk (a disk may be full)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"could not write {path}: {error}. Files written earlier are untouched.") from error


def save(folder: str | Path, trainer: keras.Model, history: History) -> Path:
    """Write the state of a trainer after the last step in `history`; keep the last three files.

    The file appears whole or not at all, and older files go only after that.

    Parameters
    ----------
    trainer : keras.Model
        Compiled; its random numbers come from `trainer.noise_seed`, a `keras.random.SeedGenerator`.
    """
    folder = Path(folder)
    path = folder / f"step-{history.step[-1]:08d}.npz"
    kept = json.dumps({**json.loads(history.to_json()), "run": _run(trainer)})
    state = {"step": history.step[-1], "history": np.array(kept)} | _state(trainer)
    try:
        with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
            for name, value in state.items():  # one at a time: `np.savez` needs a copy of them all
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    array = np.asarray(ops.convert_to_numpy(value) if isinstance(value, keras.Variable) else value)
                    np.lib.format.write_array(member, array, allow_pickle=False)
    except CheckpointError as error:
        raise CheckpointError(f"{error} The last good checkpoint is {last_checkpoint(folder)}.") from error
    for old in _checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def restore(folder: str | Path, trainer: keras.Model) -> History:
    """Bring a trainer to the last checkpoint's state; return the history up to it, empty if there is none.

    Raises
    ------
    CheckpointError
        The file cannot be read, belongs to another model, or to a run with other choices or other data: going on would
        mix two runs, and a run that is complete already would return the weights of the other one.
    """
    for unfinished in Path(folder).glob(".*-step-*.npz"):  # left by a kill in the middle of writing
        unfinished.unlink(missing_ok=True)  # another host may be doing the same
    path = last_checkpoint(folder)
    if path is None:
        return History()
    arrays = _read(path)
    _check_run(json.loads(str(arrays["history"])).get("run", {}), _run(trainer), path)
    _assign(_state(trainer), arrays, path)
    return History.from_json(str(arrays["history"]))


def _run(trainer: keras.Model) -> dict[str, Any]:
    """The choices of a run by name, and the fingerprint of its data where `train` has noted one."""
    choices = dataclasses.asdict(trainer.config)
    return {**choices, "data": getattr(trainer, "data_fingerprint", None)}


def _check_run(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Compare what both know; a file of an earlier edition knows nothing, batches of one's own have no fingerprint."""
    names = (before.keys() & now.keys()) - MAY_CHANGE
    if None in (before.get("data"), now["data"]):
        names.discard("data")
    different = [f"{name} {before[name]}, now {now[name]}" for name in sorted(names) if before[name] != now[name]]
    if different:
        raise CheckpointError(
            f"{path} was written by another run: {'; '.join(different)}. Go on with the same choices and data, or take "
            "another folder."
        )


def load_averages(folder: str | Path, variables: Sequence[Any]) -> None:
    """Put the averaged weights of the last checkpoint into the variables that were trained, in their order."""
    path = last_checkpoint(folder)
    if path is None:
        raise CheckpointError(f"{folder} holds no checkpoint (step-*.npz): train this part first.")
    arrays = _read(path)
    kind = "average" if "average/0" in arrays else "model"
    _assign({f"{kind}/{i}": variable for i, variable in enumerate(variables)}, arrays, path)


def read_history(folder: str | Path) -> History:
    """The history in the last checkpoint of a folder, empty if there is none."""
    path = last_checkpoint(folder)
    return History() if path is None else History.from_json(str(_read(path)["history"]))


def last_checkpoint(folder: str | Path) -> Path | None:
    """The newest checkpoint in a folder, or None."""
    found = _checkpoints(Path(folder))
    return found[-1] if found else None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.npz"))


def averages(trainer: keras.Model) -> list[keras.Variable]:
    """The moving averages of what a trainer trains, in the order of its weights; none without an average."""
    return [variable for variable in trainer.optimizer.variables if variable.path.endswith("_average")]


def _state(trainer: keras.Model) -> dict[str, Any]:
    """All that a step changes, by name; weights and averages are numbered alike."""
    state = {f"model/{i}": variable for i, variable in enumerate(trainer.trainable_variables)}
    state |= {f"average/{i}": variable for i, variable in enumerate(averages(trainer))}
    rest = [variable for variable in trainer.optimizer.variables if not variable.path.endswith("_average")]
    return state | {f"optimizer/{i}": variable for i, variable in enumerate(rest)} | {"seed": trainer.noise_seed.state}


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"cannot read {path}: {error}. Delete it to go on from the one before.") from error


def _assign(variables: dict[str, Any], arrays: dict[str, np.ndarray], path: Path) -> None:
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    wrong = sorted(name for name, shape in shapes.items() if name not in arrays or arrays[name].shape != shape)
    if wrong:
        raise CheckpointError(
            f"{path} belongs to another model or optimizer: {len(wrong)} of {len(shapes)} arrays are missing or have "
            f"another shape, the first is {wrong[0]}. Use another folder, or the configuration it was written with."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
