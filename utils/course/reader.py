"""The reader's view of a notebook: to be read, with figures and numbers, and without what an exercise asks for.

It is the student version with the outputs of the source, except those of graded cells. Cells that set up, test or draw
are folded; the reader opens them.
"""

from utils.course.release import secrets

import nbformat
from nbformat import NotebookNode

FOLD = "hide-input"  # the tag of MyST-NB
SHORTEST = 16  # characters of a line of a solution that may not stand in an output; shorter ones stand anywhere


def is_folded(cell: NotebookNode) -> bool:
    """Tell whether a code cell is folded: it sets up, tests, only draws, or is folded in JupyterLab."""
    tagged = {"parameters", "setup"} & set(cell.metadata.get("tags", ()))
    draws = any("image/png" in output.get("data", {}) for output in cell.outputs)
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
    return bool(tagged or draws or hidden or cell.metadata.get("nbgrader", {}).get("grade"))


def is_shown(cell: NotebookNode) -> bool:
    """Tell whether a cell is for readers: not a field for a free answer, not the sum of points of one run."""
    nbgrader = cell.metadata.get("nbgrader", {})
    return not (nbgrader.get("grade") and nbgrader.get("solution")) and "checks.summary(" not in cell.source


def image_options(cell: NotebookNode) -> dict[str, str]:
    """Return what the page is told about the figure of a cell: its alt text and its width on the screen."""
    notes = [output.metadata.get("image/png", {}) for output in cell.outputs if "image/png" in output.get("data", {})]
    if len(notes) != 1:  # MyST-NB has one setting for a cell
        return {}
    options = {"alt": notes[0].get("alt"), "width": f"{notes[0]['width']}px" if "width" in notes[0] else None}
    return {name: value for name, value in options.items() if value}


def reader_view(source: NotebookNode, released: NotebookNode) -> NotebookNode:
    """Return the page of a notebook.

    Parameters
    ----------
    source : notebook
        With solutions and outputs.
    released : notebook
        Its student version; cells are matched by id.

    Returns
    -------
    notebook
        No solution, no hidden test, no sample answer; no output of a graded cell.
    """
    outputs = {cell.id: cell.outputs for cell in source.cells if cell.cell_type == "code"}
    view = nbformat.v4.new_notebook(metadata={"kernelspec": source.metadata.get("kernelspec", {})})
    for cell in filter(is_shown, released.cells):
        if cell.cell_type != "code":
            view.cells.append(nbformat.v4.new_markdown_cell(cell.source, id=cell.id))
            continue
        graded = "nbgrader" in cell.metadata
        page = nbformat.v4.new_code_cell(cell.source, id=cell.id, outputs=[] if graded else outputs[cell.id])
        page.metadata = cell.metadata
        page.metadata = NotebookNode(tags=[FOLD] if is_folded(page) else [], mystnb={"image": image_options(page)})
        view.cells.append(page)
    return view


def text_of(output: NotebookNode) -> str:
    """Return everything in an output that can be read as text."""
    texts = [output.get("text", ""), *output.get("traceback", ())]
    texts += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(texts)


def revealed(source: NotebookNode, view: NotebookNode) -> list[str]:
    """Return one line for each line of a solution, hidden test or sample answer that stands in an output of `view`."""
    known = "\n".join(cell.source for cell in view.cells)
    lines = {line.strip() for cell in source.cells for secret in secrets(cell) for line in secret.splitlines()}
    lines = {line for line in lines if len(line) >= SHORTEST and line not in known}
    return [
        f"an output of cell {cell.id} shows {line!r}"
        for cell in view.cells
        for output in cell.get("outputs", ())
        for line in sorted(lines)
        if line in text_of(output)
    ]
