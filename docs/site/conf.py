"""Settings of the website for Sphinx; `make site` gathers the pages in build/site-source and runs it there.

Nothing that the pages need lies elsewhere: formulas are MathML, which browsers draw themselves; fonts and search are
files of the theme.
"""

from utils.course.formulas import to_mathml

from docutils.nodes import SkipNode
from sphinx.application import Sphinx

# Set this once, as in "https://github.com/name/course": links to the source and to issues then appear on every page.
REPOSITORY = ""

project = "Deep learning"
author = "The maintainers of the course"
extensions = ["myst_nb"]
if tags.has("reference"):  # noqa: F821  (Sphinx gives it) imports TensorFlow: some ten seconds
    extensions += ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
    autodoc_member_order = "bysource"
    autodoc_inherit_docstrings = False
    autodoc_typehints = "none"  # the docstrings say them, with shapes and ranges
    napoleon_google_docstring = False
else:
    exclude_patterns = ["reference.md"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
# Two subjects that hold no error of a page: links to files that are no page, and the first heading below a title.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

nb_execution_mode = "off"  # the outputs are those that are committed
nb_merge_streams = True
nb_ipywidgets_js = {}  # the default is an address on the network
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

html_theme = "sphinx_book_theme"
html_title = "Deep learning"
html_static_path = ["static"]
html_css_files = ["course.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "repository_url": REPOSITORY,
    "use_repository_button": bool(REPOSITORY),
    "use_issues_button": bool(REPOSITORY),
}
html_math_renderer = "mathml"


def visit_inline(self, node):
    self.body.append(to_mathml(node.astext()))
    raise SkipNode


def visit_block(self, node):
    self.body.append(f'<div class="math">{to_mathml(node.astext(), block=True)}</div>')
    raise SkipNode


def setup(app: Sphinx) -> None:
    """Draw formulas as MathML."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
