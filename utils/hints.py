"""Hints in steps for who learns alone: `python -m utils.hints lectures/01_neural_networks.ipynb neuron`.

First the hint of the statement, then what the solution is made of, then the solution with its comments. The last two
need a try: a cell that is no longer what was handed out, in the notebook as it was saved. An exam question has a sample
answer with its rubric, likewise after a try.
"""

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

FILE = "solutions.txt"  # made by `make learn`; packed, so that nobody reads it by accident
COUNTS = ".hints.json"  # how often each exercise was asked for


def pack(solutions: dict[str, Any]) -> str:
    """Return `solutions`, plain values by notebook and exercise, as text that is not read by accident."""
    return base64.b64encode(zlib.compress(json.dumps(solutions).encode())).decode()


def unpack(text: str) -> dict[str, Any]:
    """Return what `pack` packed."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def answer(notebook: Path, name: str) -> str:
    """Return the source of the cell `name` in the file `notebook`; an empty text if it is not there."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == name:
            return "".join(cell["source"])
    return ""


def step(entry: dict[str, str], written: str, asked: int) -> str:
    """Return what is shown for an exercise.

    Parameters
    ----------
    entry : dict
        `hint`, `parts`, `solution` and `stub` of the exercise; a question has no parts.
    written : str
        What stands in the reader's cell.
    asked : int
        How often a hint was asked for before.
    """
    hint = entry["hint"] or "This exercise has no hint of its own: read the formula above it once more."
    if asked == 0:
        return hint
    if "".join(written.split()) in ("", "".join(entry["stub"].split())):
        return f"{hint}\nYour cell is as it was handed out. Try first, even if it fails, and save; then ask again."
    if asked == 1 and entry["parts"]:
        return f"The solution is made of: {entry['parts']}."
    return entry["solution"]


def ask(folder: Path, notebook: str, name: str) -> str:
    """Return the next hint for the exercise `name` of `notebook`, a path below `folder`, and count it.

    Raises
    ------
    FileNotFoundError, KeyError
        There are no solutions in this copy, or no such notebook or exercise; the message says which there are.
    """
    if not (folder / FILE).exists():
        raise FileNotFoundError(
            f"{folder / FILE}: this copy was handed out without solutions; ask whom you have it from."
        )
    known = unpack((folder / FILE).read_text(encoding="ascii"))
    if notebook not in known:
        raise KeyError(f"no notebook {notebook!r}; there are {', '.join(known)}")
    if name not in known[notebook]:
        raise KeyError(f"{notebook} has no exercise {name!r}; there are {', '.join(known[notebook])}")
    path = folder / COUNTS
    counts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    key = f"{notebook} {name}"
    entry, written = known[notebook][name], answer(folder / notebook, name)
    text = step(entry, written, counts.get(key, 0))
    if "Try first" not in text:
        counts[key] = counts.get(key, 0) + 1
        path.write_text(json.dumps(counts), encoding="utf-8")
    return text


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("Name a notebook and an exercise: python -m utils.hints lectures/01_neural_networks.ipynb neuron")
    try:
        print(ask(Path.cwd(), Path(sys.argv[1]).as_posix(), sys.argv[2]))
    except (FileNotFoundError, KeyError) as error:
        sys.exit(str(error.args[0]))


if __name__ == "__main__":
    main()
