"""How is the book built? `sphinx-build -W notebooks dist/book`, from what lies in this folder."""

from importlib.metadata import version as _version
from pathlib import Path

from docutils import nodes
from sphinx.domains.python import PyXRefRole

import flownb
import flownb.server  # before autodoc looks: it imports anew what it finds first
from flownb.notebook.picture.shapes import INKS

project = "flownb"
author = copyright = "the flownb contributors"  # noqa: A001 - Sphinx's name
release = version = _version("flownb")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

html_theme = "furo"
html_title = "flownb"
# Our pictures and tables ask JupyterLab's variables for their colours: here the theme has them.
_light, _dark = (
    {ink[0].removeprefix("--"): ink[shade] for ink in INKS.values() if ink[0]} for shade in (1, 2)
)
html_theme_options = {
    "source_repository": "",
    "top_of_page_buttons": [],
    "light_css_variables": _light,
    "dark_css_variables": _dark,
}

# The notebooks are shown as they were saved: their outputs are what the tests compare. Of a view
# the still is shown, which needs no kernel.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# In our docstrings `Graph` links to what has that name, and *every* is an argument.
default_role = "public"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
maximum_signature_line_length = 88

copybutton_exclude = ".linenos, .gp, .go"


class _Public(PyXRefRole):
    """What stands in backticks links to a public name, or to a name of the class that says so."""

    def process_link(self, env, refnode, has_explicit_title, title, target):
        """Make the name a whole one: Sphinx would guess among all that end like it."""
        refnode["refdomain"], refnode["reftype"] = "py", "obj"
        name = target.removesuffix("()")
        if hasattr(flownb, name.split(".")[0]):
            return title, f"flownb.{name}"
        inside = env.ref_context.get("py:class")
        return title, f"flownb.{inside}.{name}" if inside else f"flownb.{name}"


def _link_to_the_browser(app, doctree, docname):
    """Under the title of a tutorial say where it runs, if `.ci/lite` has put it beside the book."""
    if app.builder.format != "html" or f"{docname}.ipynb" not in app.config.in_the_browser:
        return
    address = f"lite/notebooks/index.html?path={docname}.ipynb"
    link = nodes.reference("", "Run it in your browser", refuri=address)
    title = next(doctree.findall(nodes.title))
    title.parent.insert(title.parent.index(title) + 1, nodes.paragraph("", "", link))


def _look_for_the_site(app, config):
    config.in_the_browser = sorted(path.name for path in Path(app.outdir, "lite/files").glob("*"))


def setup(app):
    """Make the role known, and the links to the course that runs in a browser."""
    app.add_role("public", _Public(innernodeclass=nodes.literal))
    app.add_config_value("in_the_browser", [], "html")
    app.connect("config-inited", _look_for_the_site)
    app.connect("doctree-resolved", _link_to_the_browser)
