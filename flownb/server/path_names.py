"""How does a name stand in the path of a request? As one segment, whatever is in it.

A server gives the path decoded, where a "/" of a name can no longer be told from one that
divides. So "%" and "/" of a name stay quoted until the route has been found.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from starlette.convertors import Convertor, register_url_convertor

if TYPE_CHECKING:
    from starlette.types import Scope


class _Name(Convertor[str]):
    """`{graph:name}` in a route: a name, decoded."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("name", _Name())


def quoted_path(scope: Scope) -> str:
    """Decode the path of a request, all but "%" and "/" of names.

    >>> quoted_path({"path": "/loops/a/b é", "raw_path": b"/loops/a%2Fb%20%C3%A9"})
    '/loops/a%2Fb é'
    """
    path: str = scope["path"]
    raw = (scope.get("raw_path") or b"").decode("latin-1")
    if unquote(raw) != path:  # not given, or changed by who passed it on
        return path.replace("%", "%25")
    return unquote(re.sub("%(?=25|2f)", "%25", raw, flags=re.IGNORECASE))
