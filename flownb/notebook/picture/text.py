"""How wide is a text, and which of it may be shown?

Names come from users: they may hold markup, control characters, half a surrogate
pair, or ten thousand letters. Widths are estimated from tables, not measured, so that
a picture has the same bytes on every machine; they are those of DejaVu Sans, a wide
face, so that a text fits in any.
"""

from __future__ import annotations

import unicodedata
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from html import escape
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NARROW = frozenset("iljI.,:;'|!()[]{}ft/\\- ·r\"")
_PLANE = 0xFFFF
_NO_LETTER = 0xFFFE  # the last two code points of every plane are no letters
_ENOUGH = 500  # letters: no room is wider
_EXACT: Final = 6  # digits of seconds that are exact,
_ROUND: Final = 3  # of those that were measured,
_LONG: Final = 100.0  # and from how many on these have one decimal
_NOTHING: Final = 5e-7  # seconds: less is not told;
_SHORT: Final = 0.0995  # a shorter time is told in ms
_UNITS: Final = ((_SHORT, 1e3, "ms"), (119.5, 1, "s"), (7170, 1 / 60, "min"), (inf, 1 / 3600, "h"))
_WHOLE: Final = 9.95  # from here on two digits need no decimal
_TINY: Final = 0.01  # and a stretch below this with decimals
_OFF: Final = 1e-3  # microseconds: less is how floats are
_DIGITS: ContextVar[int] = ContextVar("flownb digits", default=_EXACT)
_BROAD = frozenset("mwMW@%—…")


def clean(text: object, limit: int = 10_000) -> str:
    r"""Give a text that may stand in XML: no control characters, no half characters.

    >>> clean("a\nb\x00c\ud800")
    'a bc'
    """
    text = str(text)[:limit]
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(c: str) -> str:
    if c in "\n\r\t":
        return " "
    return "" if unicodedata.category(c) in {"Cc", "Cs"} or ord(c) & _NO_LETTER == _NO_LETTER else c


def brief(text: object, limit: int = 80) -> str:
    """Give a text of at most *limit* characters, for lists and sentences.

    >>> brief("storms"), brief("storms", 4)
    ('storms', 'sto…')
    """
    shown = clean(text, limit + 1)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def xml(text: object) -> str:
    """Give a text as it may stand in markup, in an attribute too.

    >>> xml('<a b="c">')
    '&lt;a b=&quot;c&quot;&gt;'
    """
    return escape(clean(text), quote=True)


def width(text: str, size: float) -> float:
    """Estimate how wide a text of *size* pixels is.

    >>> width("check", 10) < width("CHECK", 10) < width("検査済です", 10)
    True
    """
    whole = 0.0
    for c in text:  # not sum(): it rounds otherwise from Python 3.12 on, and pictures would differ
        whole += _part(c)
    return round(whole * size, 1)


@lru_cache(4_096)
def _part(c: str) -> float:
    if c in _NARROW:
        return 0.38
    if c in _BROAD:
        return 0.98
    if unicodedata.combining(c) or unicodedata.category(c) in {"Mn", "Cf"}:
        return 0.0
    if unicodedata.east_asian_width(c) in {"W", "F"}:
        return 1.25 if ord(c) > _PLANE else 1.0  # emoji are wider than their square
    return 0.7 if c.isupper() or c in "_&=+<>~#" else 0.63


def shorten(text: str, room: float, size: float) -> str:
    """Cut a text to *room* pixels, with an ellipsis if something is missing.

    >>> shorten("a_rather_long_name", 80, 12)
    'a_rather_l…'
    """
    text = clean(text, _ENOUGH) + "…" * (len(text) > _ENOUGH)
    if width(text, size) <= room:
        return text
    kept, used = 0, width("…", size)
    for i, c in enumerate(text):
        used += _part(c) * size
        if used > room:
            break
        kept = i + 1
    while kept and (
        unicodedata.combining(text[kept : kept + 1] or " ") or text[kept - 1] == "\u200d"
    ):
        kept -= 1
    return text[:kept].rstrip() + "…"


def wrapped(text: str, room: float, size: float) -> list[str]:
    """Break a text into lines of at most *room* pixels, between words where it can.

    >>> wrapped("cam is held back by develop", 120, 11)
    ['cam is held back by', 'develop']
    """
    found = [""]
    for word in text.split():
        longer = f"{found[-1]} {word}".lstrip()
        if found[-1] and width(longer, size) > room:
            found.append(word)
        else:
            found[-1] = longer
    return found


def number(value: float) -> str:
    """Write a coordinate: one decimal at most, no trailing zero, no minus zero.

    >>> [number(v) for v in (1.0, -0.04, 2.25, 1000.46)]
    ['1', '0', '2.2', '1000.5']
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def seconds(value: float) -> str:
    """Write a number of seconds shortly, without rounding noise.

    >>> [seconds(v) for v in (0.1 + 0.2, 12.0, 0.0000012)]
    ['0.3', '12', '0.0000012']
    >>> with rounded():
    ...     [seconds(v) for v in (0.0654043, 5.12345, 3600.4567)]
    ['0.0654', '5.12', '3600.5']
    """
    digits = _DIGITS.get()
    if digits < _EXACT and abs(value) >= _LONG:
        return f"{value:.1f}"
    found = f"{value:.{digits}g}"
    return found if "e-" not in found else f"{float(found):.12f}".rstrip("0").rstrip(".")


def duration(value: float) -> str:
    """Write a measured time with its unit and two digits, as the live views do.

    >>> [duration(v) for v in (0, 0.0000726, 0.0527, 0.17, 6.64, 180, 7200)]
    ['0 s', '0.073 ms', '53 ms', '0.17 s', '6.6 s', '3 min', '2 h']
    """
    if value < _NOTHING:
        return "0 s"
    times, unit = next((times, unit) for most, times, unit in _UNITS if value < most)
    amount = value * times
    return f"{round(amount) if amount >= _WHOLE else float(f'{amount:.2g}'):g} {unit}"


def in_all(items: int, elapsed: float) -> str:
    """Say how much has been done in which time.

    >>> in_all(60, 6.64)
    '60 in 6.6 s'
    """
    return f"{items:,} in {duration(elapsed)}" if items else "0"


def took(value: float) -> str:
    """Write how long something takes, with its unit: what was measured in ms where it is short.

    >>> took(0.0527), took(2.0)
    ('0.0527 s', '2 s')
    >>> with rounded():
    ...     took(0.0527), took(0.000228), took(0.2034)
    ('53 ms', '0.23 ms', '0.2 s')
    """
    return f"{seconds(value)} s" if _DIGITS.get() >= _EXACT else duration(value)


def stretch(start: float, end: float) -> str:
    """Write from when to when something runs, in one unit.

    >>> stretch(0.1, 0.3)
    '0.1..0.3 s'
    >>> with rounded():
    ...     stretch(0.0, 0.0527), stretch(0.0527, 0.171), stretch(0.0398, 0.0403)
    ('0..53 ms', '0.05..0.17 s', '39.8..40.3 ms')
    """
    if _DIGITS.get() >= _EXACT:
        return f"{seconds(start)}..{seconds(end)} s"
    times, unit, digits = (1000, "ms", 2 * (end < _TINY)) if end < _SHORT else (1, "s", 2)
    start, end = start * times, end * times
    while digits < _EXACT and start < end and round(start, digits) == round(end, digits):
        digits += 1  # it takes some time, however short
    first, last = (f"{round(x, digits):g}" for x in (start, end))
    return f"{first}..{last} {unit}"


@contextmanager
def rounded(*, on: bool = True) -> Iterator[None]:
    """Write seconds with three digits in here: more of a real clock's are noise."""
    token = _DIGITS.set(_ROUND if on else _DIGITS.get())
    try:
        yield
    finally:
        _DIGITS.reset(token)


def is_real(times: Iterable[float]) -> bool:
    """Whether a real clock gave these seconds: a virtual one counts whole microseconds.

    >>> is_real([0.1 + 0.2, 1e-6, 7.0]), is_real([0.1, 0.06540431])
    (False, True)
    """
    return any(abs(t * 1e6 - round(t * 1e6)) > _OFF for t in times)
