"""May a cell block on what runs in its own event loop? Only if you ask for it."""

from __future__ import annotations

import importlib


def enable_nesting() -> str:
    """Let `.wait()` and `run_until_complete` be called in a cell; name what was used.

    It patches asyncio for the whole kernel with nest_asyncio2 where the kernel ships
    it, else with nest_asyncio. Never done on import: on ipykernel 7 "Run All" then
    loses queued cells. `await` needs none of it.
    """
    for name in ("nest_asyncio2", "nest_asyncio"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        module.apply()
        return name
    msg = "neither nest_asyncio2 nor nest_asyncio is installed: pip install nest-asyncio"
    raise ImportError(msg)
