"""Which code is the user's? Cells, scripts and modules that are not installed."""

from __future__ import annotations

import functools
import site
import sys
import sysconfig
from pathlib import Path


@functools.cache
def _installed() -> tuple[str, ...]:
    """Give the folders of Python and of installed packages."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_path(name) for name in names} | {site.getusersitepackages()}
    folders |= set(site.getsitepackages())
    return tuple(f"{Path(folder).resolve()}/" for folder in folders)


@functools.lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    return Path(file).resolve().as_posix().startswith(_installed())


def is_own(name: object) -> bool:
    """Whether a module is the user's: a cell, a script, a file that is not installed.

    >>> is_own("__main__"), is_own("json"), is_own("pydantic.main"), is_own("flownb.graph")
    (True, False, False, False)
    """
    if not isinstance(name, str):
        return False
    top = name.partition(".")[0]
    if name == "__main__" or top == "flownb":
        return name == "__main__"
    module = sys.modules.get(name)
    if module is None:
        return top not in sys.stdlib_module_names
    file = getattr(module, "__file__", None)
    if file is None:
        return top not in sys.stdlib_module_names and top not in sys.builtin_module_names
    return not _is_installed(file)
