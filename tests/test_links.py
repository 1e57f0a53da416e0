"""Links inside the repository lead to files that exist."""

import re

import notebooks

import pytest

LINK = re.compile(r"\]\(<?(?!\w+:|#)([^)#>\s]+)|(?:src|href)=\"(?!\w+:|#)([^\"#]+)")
PAGES = [
    path.relative_to(notebooks.ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "assignment/*.md")
    for path in notebooks.ROOT.glob(pattern)
]


def broken(text, folder):
    """Return the relative links in `text` that lead nowhere from `folder`."""
    links = [markdown or html for markdown, html in LINK.findall(text)]
    return [link for link in links if not (folder / link).exists()]


@pytest.mark.parametrize("name", [*filter(lambda name: (notebooks.ROOT / name).exists(), PAGES), *notebooks.NOTEBOOKS])
def test_relative_links_exist(name):
    path = notebooks.ROOT / name
    text = "\n".join(notebooks.prose(notebooks.load(name))) if path.suffix == ".ipynb" else path.read_text("utf-8")
    assert not broken(text, path.parent)


def test_broken_links_are_found():
    text = '[a](LICENSE) [b](https://x.org) [c](#part) ![d](no.png) <img src="gone.svg"> [e](LICENSE#x)'
    assert broken(text, notebooks.ROOT) == ["no.png", "gone.svg"]
