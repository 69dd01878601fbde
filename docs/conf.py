"""The site: Sphinx with MyST and the pydata theme. Built offline by `make docs`; the result makes no request."""

import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generated  # noqa: E402  # beside this file
from pygments.lexers.special import TextLexer  # noqa: E402

spec = importlib.util.find_spec("zeroinit")
assert spec is not None, "install the package first: make docs does"
from zeroinit import __version__  # noqa: E402

project = "zeroinit"
author = "The zeroinit authors"
version = release = __version__
html_title = "zeroinit"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.githubpages",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["results/*/**", "_build", "**/.*"]
myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 4
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False}
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "pydata_sphinx_theme"
html_sidebars = {"index": [], "start": [], "gallery": []}
html_static_path = ["_static"]
html_css_files = ["zeroinit.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "logo": {"text": "zeroinit"},
}
copybutton_exclude = ".linenos, .gp, .go"


def setup(app):
    """Write the pages that are made from the package, and after the build the same pages in Markdown."""
    for language in ("tree", "order", "symmetry", "verdict"):  # blocks of the page on architecture, which a test reads
        app.add_lexer(language, TextLexer)
    app.connect("builder-inited", lambda app: generated.write_pages(HERE))
    app.connect("build-finished", write_beside)


def write_beside(app, error):
    """Write what lies beside the pages, in the order of the contents."""
    if error is None:
        order, waiting = [], [app.config.root_doc]
        while waiting:
            order.append(waiting.pop(0))
            waiting = [*app.env.toctree_includes.get(order[-1], []), *waiting]
        generated.write_beside(HERE, Path(app.outdir), order)
