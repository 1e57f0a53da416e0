"""Make a deck of slides from each notebook, in build/slides: `python -m utils.course.slides lectures/05*.ipynb`.

A deck holds the questions, what to predict, every figure with what one should see, and the summary; no code. It is made
of the reader's view, so no solution is in it. reveal.js lies beside the decks: they need no network.
"""

import argparse
import glob
import html
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from utils.course import formulas
from utils.course.exercises import nbgrader_config, student_version
from utils.course.reader import reader_view
from utils.files import write_text

import nbformat
from nbconvert.filters.markdown import markdown2html

SHOWN = ("**Predict.**", "**What you should see.**", "**Why it matters.**", "**A common mistake**")
MOST_WORDS = 110  # of a text on a slide
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="reveal/reveal.css"><link rel="stylesheet" href="reveal/theme/white.css">
<style>
.reveal {{ font-size: 30px; font-family: system-ui, sans-serif; }}
.reveal h1, .reveal h2 {{ text-transform: none; font-family: inherit; }}
.reveal h1 {{ font-size: 1.9em; }} .reveal h2 {{ font-size: 1.5em; }}
.reveal p, .reveal li {{ text-align: left; line-height: 1.35; }}
.reveal img {{ max-height: 420px; max-width: 100%; margin: 0 auto; display: block; }}
.reveal .small {{ font-size: 0.68em; }}
.reveal table {{ font-size: 0.7em; }}
.reveal math {{ font-size: 0.9em; }}
.reveal math[display="block"] {{ font-size: 0.75em; max-width: 100%; overflow-x: auto; }}
{style}
</style></head>
<body><div class="reveal"><div class="slides">
{slides}
</div></div>
<script src="reveal/reveal.js"></script>
<script>Reveal.initialize({{hash: true, slideNumber: "c/t", width: 1100, height: 680}});</script>
</body></html>
"""


def to_html(text: str) -> str:
    """Return Markdown as HTML; a link that leads out of the deck becomes its text."""
    text = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    made = str(markdown2html(formulas.MATH.sub(lambda found: formulas.from_dollars(found[0]), text)))
    made = re.sub(r'<a[^>]*class="anchor-link"[^>]*>.*?</a>', "", made)
    return re.sub(r'<a[^>]*href="(?!https?:)[^>]*>(.*?)</a>', r"\1", made)


def shortened(text: str, words: int = MOST_WORDS, at_least: int = 1) -> str:
    """Return the first paragraphs of `text` above its next heading: `at_least` so many, else up to `words` words."""
    kept: list[str] = []
    for paragraph in re.split(r"\n\n+", re.split(r"\n#{3,} ", text)[0].strip()):
        if len(kept) >= at_least and len(" ".join([*kept, paragraph]).split()) > words:
            break
        kept.append(paragraph)
    return "\n\n".join(kept)


def figures(cell: nbformat.NotebookNode) -> list[str]:
    """Return the figures of a code cell as HTML that holds the picture itself."""
    found = []
    for output in cell.get("outputs", ()):
        if png := output.get("data", {}).get("image/png"):
            alt = html.escape(output.metadata.get("image/png", {}).get("alt", ""), quote=True)
            found.append(f'<img class="r-stretch" alt="{alt}" src="data:image/png;base64,{"".join(png.split())}">')
    return found


def slides(view: nbformat.NotebookNode) -> list[str]:
    """Return the slides of a notebook in the reader's view, each as HTML."""
    made: list[str] = []
    free = 0  # words that still fit below the figure on the last slide
    after_figure = False
    for cell in view.cells:
        if cell.cell_type == "code":
            if pictures := figures(cell):
                made += pictures
                free, after_figure = MOST_WORDS, True
            continue
        for text in re.split(r"\n+(?=## )", cell.source):
            free = add_text(made, text, free, after_figure)
            after_figure = False
    return made


def add_text(made: list[str], text: str, free: int, after_figure: bool) -> int:
    """Put a text on a slide of its own, below the last figure, or nowhere; return how many words still fit there."""
    if re.match(r"#{1,2} ", text):
        if not re.match(r"## (Exam questions|The thread|Going further|References|Quiz)", text):
            whole = re.match(r"## (Objectives|Summary)", text)
            shown = to_html(text if whole else shortened(text, at_least=3))  # title, minutes, what it is about
            made.append(f'<div class="{"small" if whole else ""}">{shown}</div>')
        return 0
    if not text.startswith(SHOWN) and (not after_figure or text.startswith("#")):
        return free
    shown = shortened(text) if text.startswith(SHOWN) else shortened(text, MOST_WORDS // 2)
    words = len(shown.split())
    if words <= free and not text.startswith("**Predict"):
        made[-1] += f'<div class="small">{to_html(shown)}</div>'
        return free - words
    if text.startswith(SHOWN):
        made.append(f"<div>{to_html(shown)}</div>")
        return 0
    return free


def deck(path: Path, root: Path) -> str:
    """Return the page of the notebook `path`."""
    source = nbformat.read(path, as_version=4)
    view = reader_view(source, student_version(source, nbgrader_config(root, root / "build")))
    body = "\n".join(f"<section>{slide}</section>" for slide in slides(view))
    return PAGE.format(
        style=formulas.STYLE, title=html.escape(source.cells[0].source.splitlines()[0].lstrip("# ")), slides=body
    )


def copy_reveal(target: Path) -> None:
    """Copy reveal.js into `target`; SystemExit if the package that brings it is not installed."""
    spec = find_spec("sphinx_revealjs")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("Slides need: pip install -r requirements/site.txt")
    dist = Path(spec.submodule_search_locations[0]) / "_static/revealjs/dist"
    shutil.copytree(dist, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.map", "*.mjs"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make slides in build/slides.")
    parser.add_argument("notebooks", nargs="*", default=["lectures/*.ipynb", "assignment/*.ipynb"])
    paths = [Path(path) for pattern in parser.parse_args().notebooks for path in sorted(glob.glob(pattern))]
    if not paths:
        sys.exit("No notebook; run from the course's folder, with patterns such as 'lectures/05*.ipynb'.")
    folder = Path.cwd() / "build/slides"
    folder.mkdir(parents=True, exist_ok=True)
    copy_reveal(folder / "reveal")
    for path in paths:
        page = deck(path, Path.cwd())
        write_text(folder / f"{path.stem}.html", page)
        print(f"{folder / path.stem}.html: {page.count('<section>')} slides")


if __name__ == "__main__":
    main()
