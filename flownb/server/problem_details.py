"""How does an error travel over HTTP? As RFC 9457 says: `application/problem+json`.

A problem has a `status`, a `title` of one line and a `detail`; where they are known it names
`node` and `loop`, and `errors` lists the places of a request that are wrong. What was sent is
never sent back: it may hold secrets.
"""

from __future__ import annotations

import json
import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from flownb.errors import (
    FlowError,
    GraphError,
    LoopStopped,
    NotKept,
    QueueError,
    QueueUnavailable,
    RunError,
    RunTaken,
    StoreError,
    UnknownName,
    told,
)
from flownb.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

log = logging.getLogger("flownb.server")
MEDIA_TYPE: Final = "application/problem+json"
_LONGEST: Final = 2_000
# The first class that fits decides.
_STATUS: Final[tuple[tuple[type[FlowError], int], ...]] = (
    (UnknownName, 404),
    (NotKept, 404),
    (LoopStopped, 409),
    (RunTaken, 409),
    (QueueUnavailable, 503),
    (GraphError, 409),  # well written, and nothing that can be done here
    (QueueError, 409),
    (RunError, 409),
    (StoreError, 503),
)


class Problem(Exception):
    """A request that is refused, with the reason that is told; raised in endpoints."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, headers, members


def response(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Write a problem."""
    title = HTTPStatus(status).phrase
    said = redacted(detail)[:_LONGEST]
    body = {"type": "about:blank", "title": title, "status": status, "detail": said, **members}
    return Response(
        json.dumps(body).encode(), status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Have an app answer every error with a problem."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(FlowError, _of_flow_error)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_fault)


def _of_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - it is registered for these
    return response(error.status, error.detail, headers=error.headers, **error.members)


def _of_flow_error(_: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    members: dict[str, Any] = {
        name: value
        for name in ("loop", "node", "graph")
        if isinstance(value := getattr(error, name, None), str)
    }
    problems = getattr(error, "problems", ())
    if len(problems) > 1:
        members["problems"] = [redacted(problem)[:_LONGEST] for problem in problems[:100]]
    return response(status, str(error), **members)


def _of_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
    errors = [
        {"loc": [str(part)[:200] for part in wrong["loc"]], "msg": str(wrong["msg"])[:500]}
        for wrong in list(error.errors())[:20]
    ]
    first = f"{'.'.join(errors[0]['loc'])}: {errors[0]['msg']}" if errors else "not valid"
    return response(422, first, errors=errors)


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return response(error.status_code, str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """Name the methods of a path: Starlette names those of its first route only."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    found = {
        method.upper()
        for template, ways in request.app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path)
        for method in ways
    }
    return sorted(found or {"GET"})


def _of_fault(request: Request, error: Exception) -> Response:
    log.error("%s %s: %s", request.method, request.url.path, told(error), exc_info=error)
    return response(500, "a fault of the server: its log says more")
