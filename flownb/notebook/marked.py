"""How does the picture of an explanation show who waits for whom?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flownb.notebook.draw import draw as draw_scene
from flownb.notebook.scene import scene

if TYPE_CHECKING:
    from flownb.analysis.explain import Explanation
    from flownb.notebook.ink import Picture


def draw(why: Explanation) -> Picture | None:
    """Draw."""
    return draw_scene(scene(why.workflow))
