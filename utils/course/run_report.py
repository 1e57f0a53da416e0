"""The report on notebooks that were run: what became of each, as a table, as JSON, as Markdown and as a page."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.files import write_text

import mistune
import nbformat
from nbgrader.utils import determine_grade, is_grade, is_solution

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Run report</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 1em auto; padding: 0 1em; max-width: 60em }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { border: 1px solid #bbb; padding: .3em .6em; text-align: left }
pre { background: #f4f4f4; padding: .7em; overflow-x: auto }
</style>
"""


@dataclass
class Result:
    """What became of one notebook. `seconds` is wall-clock time, start of the kernel included."""

    notebook: str
    status: str = "passed"
    seconds: float = 0.0
    peak_gib: float = 0.0
    points: float = 0.0
    possible: float = 0.0
    manual: float = 0.0
    why: str = ""
    html: str = ""  # its copy for the browser, from the folder of the report


def count_points(notebook: nbformat.NotebookNode) -> tuple[float, float, float]:
    """Count points of an executed notebook as nbgrader does.

    Returns
    -------
    tuple of float
        Points reached, points possible in test cells, points of questions that a person grades. A test cell that did
        not run counts as zero.
    """
    reached = possible = manual = 0.0
    for cell in filter(is_grade, notebook.cells):
        if is_solution(cell) or cell.cell_type != "code":
            manual += cell.metadata.nbgrader["points"]
        else:
            possible += cell.metadata.nbgrader["points"]
            reached += determine_grade(cell)[0] if cell.execution_count else 0
    return reached, possible, manual


def table(results: list[Result], linked: bool = False) -> str:
    """Return the results as a Markdown table that is also aligned as plain text; `linked` to the HTML copies."""
    rows = [("notebook", "status", "seconds", "peak GiB", "points", "manual points")]
    for r in results:
        points = f"{r.points:g} of {r.possible:g}"
        name = f"[{r.notebook}]({r.html})" if linked and r.html else r.notebook
        rows.append((name, r.status, f"{r.seconds:.0f}", f"{r.peak_gib:.2f}", points, f"{r.manual:g}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_report(results: list[Result], folder: Path, profile: str, seconds: float) -> None:
    """Print the table, and write report.json, report.md and index.html into `folder`."""
    summary = {
        "profile": profile,
        "python": sys.version.split()[0],
        "seconds": round(seconds, 1),
        "notebooks": [asdict(result) for result in results],
    }
    passed = sum(result.status == "passed" for result in results)
    ending = f"{passed} of {len(results)} notebooks passed in {seconds:.0f} s, profile {profile}."
    reasons = [f"## {r.notebook} {r.status}\n\n```\n{r.why}\n```" for r in results if r.status != "passed"]
    text = "\n\n".join(["# Run report", table(results, linked=True), ending, *reasons])
    print(f"{table(results)}\n\n{ending} To look at: {folder / 'index.html'}", flush=True)
    write_text(folder / "report.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "report.md", text + "\n")
    write_text(folder / "index.html", PAGE + str(mistune.create_markdown(plugins=["table"])(text)))
