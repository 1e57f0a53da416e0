"""HTML copies of executed notebooks that need no network: formulas are MathML, and no script is loaded."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

from utils.course import formulas
from utils.files import write_text

import nbformat
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# JupyterLab's page without what it loads from elsewhere: RequireJS, MathJax, Mermaid, the scripts of widgets.
PAGE = """{%- extends "lab/index.html.j2" -%}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block html_head_css %}<style>STYLE img { max-width: 100%; height: auto }</style>{% endblock %}
{% block data_png %}
{% set about = output.metadata.get("image/png", {}) %}
<div class="jp-RenderedImage jp-OutputArea-output">
<img alt="{{ about.get("alt", "A figure without words") | escape_html }}"
 src="data:image/png;base64,{{ output.data["image/png"] | escape_html }}"
 {% if about.width %}width="{{ about.width }}"{% endif %}></div>
{% endblock %}
""".replace("STYLE", formulas.STYLE)
WIDGET = "application/vnd.jupyter.widget-view+json"


class Renderer(IPythonRenderer):
    """nbconvert's Markdown with formulas as MathML."""

    def block_math(self, body: str) -> str:
        return formulas.to_mathml(body, block=True)

    def inline_math(self, body: str) -> str:
        return formulas.to_mathml(body)


class OfflineExporter(HTMLExporter):
    """nbconvert's HTML that asks nobody for anything."""

    def __init__(self, **options: Any):
        super().__init__(raw_template=PAGE, **options)

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return str(MarkdownWithMath(renderer=Renderer(escape=False, attachments=attachments)).render(source))


def shows(output: nbformat.NotebookNode) -> bool:
    """Tell whether an output is more than points, whose verdict stands above them."""
    return output.get("data", {}).get("text/html") != ""


def to_read(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """Return a copy with a title, and without sliders, which need a kernel, and empty results."""
    copy = deepcopy(notebook)
    headings = re.findall(r"^# (.+)", copy.cells[0].source if copy.cells else "", flags=re.MULTILINE)
    copy.metadata["title"] = headings[0] if headings else name
    copy.metadata.pop("widgets", None)
    for cell in copy.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                output.get("data", {}).pop(WIDGET, None)
            cell.outputs = [output for output in cell.outputs if output.get("data") != {} and shows(output)]
    return copy


def write_html(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a copy of `notebook` for the browser."""
    write_text(path, OfflineExporter().from_notebook_node(to_read(notebook, path.stem))[0])
