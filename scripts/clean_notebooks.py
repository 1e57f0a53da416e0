"""Take out of notebooks what belongs to one machine or one run: execution times and papermill's notes.

    python scripts/clean_notebooks.py lectures/01_neural_networks.ipynb ...

Outputs, cell ids and all other metadata stay; a file in which there is nothing to take out stays as it is, byte for
byte. A path of one machine in an output cannot be repaired here: it is named, and the exit status is 1. pre-commit
runs this on the notebooks of a commit.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from utils import files

CELL_NOTES = ("execution", "papermill", "ExecuteTime", "lines_to_next_cell")  # the last is jupytext's
WIDGET = "application/vnd.jupyter.widget-view+json"  # an output that is drawn from the state in `widgets`
FOREIGN = re.compile(r"(?<![\w.:/])(?:/(?:home|root|Users)/[\w.-]+|[A-Z]:\\\\?Users)|site-packages")


def strip(notebook: dict[str, Any]) -> int:
    """Remove the notes of a run from a notebook, in place; return how many there were."""
    shown = {kind for cell in notebook["cells"] for out in cell.get("outputs", ()) for kind in out.get("data", {})}
    places: list[tuple[dict[str, Any], tuple[str, ...]]]
    places = [(notebook["metadata"], ("papermill",) if WIDGET in shown else ("papermill", "widgets"))]
    places += [(cell["metadata"], CELL_NOTES) for cell in notebook["cells"]]
    return sum(metadata.pop(name, None) is not None for metadata, names in places for name in names)


def foreign_paths(notebook: dict[str, Any]) -> list[str]:
    """Return what looks like a path of one machine in the text of the outputs."""
    texts = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    shown = (json.dumps({k: v for k, v in output.items() if k != "data"}, ensure_ascii=False) for output in texts)
    data = (json.dumps(v) for o in texts for k, v in o.get("data", {}).items() if not k.startswith("image/"))
    return [match[0] for text in (*shown, *data) for match in FOREIGN.finditer(text)]


def clean(path: Path) -> list[str]:
    """Clean one file; return the paths of one machine that it holds."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    if count := strip(notebook):
        files.write_text(path, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        print(f"{path}: {count} notes of a run taken out")
    return foreign_paths(notebook)


def main() -> int:
    found = {name: clean(Path(name)) for name in sys.argv[1:]}
    for name, paths in found.items():
        for path in dict.fromkeys(paths):
            print(f"{name}: an output shows {path}, a path of one machine: mend the cell and run it again")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
