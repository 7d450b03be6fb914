"""Which set-up of `logging` does a loop have? That of the notebook, also in another process.

A handler holds on to the stream that stood in `sys.stderr` when it was made: its lines
would land in some cell. And a child process begins with a `logging` that nobody has set up.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lines(NamedTuple):
    """A handler that writes lines to a stream."""

    level: int
    format: str | None
    dates: str | None


class Logs(NamedTuple):
    """How one logger, "" for the root, was set up."""

    name: str
    level: int
    propagate: bool
    handlers: tuple[Lines, ...]


def turn(before: Any, after: Any) -> None:
    """Have all handlers that write to one stream write to another."""
    for handler in [handler for _, logger in _loggers() for handler in logger.handlers]:
        if type(handler) is logging.StreamHandler and handler.stream is before:
            handler.stream = after  # setStream would flush, and wait for the kernel


def logs() -> tuple[Logs, ...]:
    """Give how the loggers of this process were set up, as it can travel."""
    return tuple(_of(name, logger) for name, logger in _loggers())


def _loggers() -> Iterator[tuple[str, logging.Logger]]:
    yield "", logging.root
    for name, logger in logging.root.manager.loggerDict.copy().items():
        if isinstance(logger, logging.Logger) and (logger.level or logger.handlers):
            yield name, logger


def _of(name: str, logger: logging.Logger) -> Logs:
    lines = tuple(_lines(h) for h in logger.handlers if type(h) is logging.StreamHandler)
    return Logs(name, logger.level, logger.propagate, lines)


def _lines(handler: logging.Handler) -> Lines:
    form = handler.formatter or logging.Formatter()
    return Lines(handler.level, form._fmt, form.datefmt)  # noqa: SLF001 - nothing public tells


def set_up(known: tuple[Logs, ...]) -> None:
    """Set the loggers of this process up in that way; lines go to `sys.stderr`."""
    for logs_ in known:
        logger = logging.getLogger(logs_.name or None)
        logger.setLevel(logs_.level)
        logger.propagate = logs_.propagate
        for lines in logs_.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setLevel(lines.level)
            handler.setFormatter(_formatter(lines))
            logger.addHandler(handler)


def _formatter(lines: Lines) -> logging.Formatter:
    for style in ("%", "{", "$"):
        try:
            return logging.Formatter(lines.format, lines.dates, style)
        except ValueError:  # it is written in another style
            continue
    return logging.Formatter()
