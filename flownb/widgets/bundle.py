"""How do our JavaScript modules become the one that anywidget takes?

They stand side by side as written, and import each other by name; a browser test or
`node` loads them like that. For a widget each is put into a function of its own, what
it imports first, and the last line says which parts are shown. No build, no network.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from flownb.notebook.gantt import rows
from flownb.notebook.graph import awaited, scene
from flownb.notebook.picture.svg import style
from flownb.notebook.picture.table import STYLE

HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


@cache
def script(parts: tuple[str, ...]) -> str:
    """Give the module of a widget that shows *parts*: one `export default { render }`.

    >>> script(("dag",)).count("export")
    1
    """
    return f"{linked(parts)}export default view;\n"


@cache
def linked(parts: tuple[str, ...]) -> str:
    """Give the same for a script of a page: it defines `view`, and exports nothing."""
    modules: dict[str, str] = {}
    for part in ("base", *parts):
        _gather(part, modules)
    shown = ", ".join(f"{part}: ${part}.{part}" for part in parts)
    last = f"const view = {{ render: (context) => $base.mount(context, {{ {shown} }}) }};\n"
    return "".join([*modules.values(), last])


def _gather(name: str, modules: dict[str, str]) -> None:
    """Wrap a module, behind those that it imports."""
    if name in modules:
        return
    source = (HERE / f"{name}.js").read_text(encoding="utf-8")
    for _, other in _IMPORT.findall(source):
        _gather(other, modules)
    names = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(r"const {\1} = $\2;", source))
    modules[name] = f"const ${name} = (() => {{\n{body}\nreturn {{ {names} }};\n}})();\n"


@cache
def sheet() -> str:
    """Give the one style sheet of all widgets: that of our static pictures, then each part's.

    One for all, because anywidget keeps one style sheet a class on the page: a view with
    other parts would take away that of a view which stands above it.
    """
    own = [HERE / "base.css", *sorted(set(HERE.glob("*.css")) - {HERE / "base.css"})]
    pictures = style("widget", {**scene.LOOKS, **awaited.LOOKS, **rows.LOOKS})
    return "\n".join([pictures, STYLE, *(path.read_text(encoding="utf-8") for path in own)])
