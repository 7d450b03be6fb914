"""Is this JSON (or YAML) that nobody needs to fear? The text of a stranger's file becomes data.

Nothing in a file is called, imported or looked up. What a reader in another language would
read differently (a key that is there twice, NaN, a number of a thousand digits, half a
character, `__proto__`) is refused with its place; so is what is too long or too deep.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from flownb.errors import FlowFormatError
from flownb.jsonable import Refused, Walk, step

MAX_BYTES: Final = 5_000_000
MAX_DEPTH: Final = 64
_MAX_VALUES: Final = 1_000_000
_MAX_DIGITS: Final = 300
_MAX_BITS: Final = 1_000
_SHOWN: Final = 120  # characters of a place
_FORBIDDEN: Final = "__proto__"  # where a key of that name becomes an object's prototype
_YAML: Final = {".yaml", ".yml"}


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a drawing may hold."""

    max_bytes: int = MAX_BYTES
    max_nodes: int = 5_000
    max_edges: int = 20_000
    max_depth: int = MAX_DEPTH


def sound(given: object, caps: Caps) -> tuple[Any, str]:
    """Give the data of a file, text or object as plain JSON of our own, and the file's stem.

    A path is a `Path`, or a str that does not begin with a brace or a bracket.

    >>> sound('{"nodes": [], "edges": []}', Caps())
    ({'nodes': [], 'edges': []}, '')
    >>> sound('{"a": 1, "a": 2}', Caps())
    Traceback (most recent call last):
    flownb.errors.FlowFormatError: the key 'a' is there twice in one object
    """
    if isinstance(given, Path) or (isinstance(given, str) and given.lstrip()[:1] not in set("{[")):
        path = Path(given)
        return _decoded(_contents(path, caps), caps, path.suffix.lower() in _YAML), path.stem
    if isinstance(given, (str, bytes, bytearray)):
        return _decoded(given, caps, yaml=False), ""
    _check(given, caps)
    text = json.dumps(given, ensure_ascii=False, check_circular=False)
    _check_size(len(text), caps)
    return json.loads(text), ""  # a copy: what the caller changes later is no drawing of ours


def _contents(path: Path, caps: Caps) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(caps.max_bytes + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        msg = f"{str(path)!r:.200} cannot be read: {why}"
        raise FlowFormatError(msg) from None


def _check_size(size: int, caps: Caps) -> None:
    if size > caps.max_bytes:
        msg = f"the drawing is longer than {caps.max_bytes:,} bytes (max_bytes=)"
        raise FlowFormatError(msg)


def _decoded(given: str | bytes | bytearray, caps: Caps, yaml: bool) -> Any:  # noqa: FBT001
    _check_size(len(given), caps)
    if isinstance(given, str):
        text = given.removeprefix("\ufeff")
    else:
        try:
            text = given.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            msg = f"the file is no UTF-8 text (byte {error.start:,})"
            raise FlowFormatError(msg) from None
    data = _from_yaml(text, caps) if yaml else _from_json(text)
    _check(data, caps)
    return data


# -- JSON ----------------------------------------------------------------------


def _from_json(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        msg = f"this is no JSON: {error.msg} (line {error.lineno:,}, column {error.colno:,})"
        raise FlowFormatError(msg) from None
    except RecursionError:
        msg = "the drawing is nested too deep to be read"
        raise FlowFormatError(msg) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        msg = f"the key {twice!r:.80} is there twice in one object{_owner(made)}"
        raise FlowFormatError(msg)
    return made


def _owner(made: dict[str, Any]) -> str:
    """Name the node or edge that an object is, as far as it says."""
    known = made.get("id", made.get("name"))
    return f" (id {known!r:.80})" if isinstance(known, (str, int)) else ""


def _constant(word: str) -> NoReturn:
    msg = f"{word} is no JSON: write null, or leave it out"
    raise FlowFormatError(msg)


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        msg = f"a whole number of {len(digits):,} digits is no number of a drawing: use a string"
        raise FlowFormatError(msg)
    return int(digits)


# -- what is in it ---------------------------------------------------------------


def _check(data: Any, caps: Caps) -> None:
    """Refuse what is no plain JSON, or too much, with the place where it stands."""
    left = [_MAX_VALUES]
    if _is_sound(data, caps.max_depth, left):
        return
    if left[0] < 0:
        msg = f"the drawing has more than {_MAX_VALUES:,} values"
        raise FlowFormatError(msg)
    try:
        _Strict(caps.max_depth).plain(data)
    except Refused as refused:
        msg = f"{_named(refused.path, data)}{refused.reason}"
        raise FlowFormatError(msg) from None


def _is_sound(value: Any, depth: int, left: list[int]) -> bool:
    """Look quickly: almost everything is; `_Strict` finds the place in what is not."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return _is_leaf(value, kind)
    left[0] -= len(value) + 1
    if depth < 0 or left[0] < 0 or (kind is dict and not _are_keys(value)):
        return False
    for part in value if kind is list else value.values():
        text = type(part) is str
        if not (_is_text(part) if text else _is_sound(part, depth - 1, left)):
            return False
    return True


def _is_leaf(value: Any, kind: type) -> bool:
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(value.bit_length() <= _MAX_BITS)
    return value is None or kind is bool or (kind is str and _is_text(value))


def _are_keys(keys: dict[Any, Any]) -> bool:
    for key in keys:
        if type(key) is not str or not _is_text(key):
            return False
    return _FORBIDDEN not in keys


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Strict(Walk):
    """The walk that says what is wrong, and where."""

    int_bits = _MAX_BITS

    def __init__(self, deepest: int) -> None:
        self.deepest = deepest  # type: ignore[misc]

    def key(self, key: Any) -> str:
        if key == _FORBIDDEN:
            msg = f"the key {_FORBIDDEN!r} is refused: a browser would take it for a prototype"
            raise Refused(msg)
        return super().key(key)


def _named(path: str, data: Any) -> str:
    """Write a place, with the id of the node or edge that it is in."""
    owner, value = "", data
    for word in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        at: Any = word[0] or int(word[1])
        try:
            value = value[at]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(value, dict) and isinstance(value.get("id"), (str, int)):
            what = "edge" if "source" in value else "node"
            owner = f"{what} {value['id']!a:.80}, "
    return f"{owner}{_cut(path)}: " if path else owner


def _cut(path: str) -> str:
    """Write a place that may be deep."""
    return f"$...{path[-_SHOWN:]}" if len(path) > _SHOWN else f"${path}"


# -- YAML ----------------------------------------------------------------------

_YAML_NUMBER: Final = re.compile(r"[-+]?(\d+)")
_YAML_FLOAT: Final = re.compile(r"[-+]?(\.\d+|\d+\.\d*)([eE][-+]?\d+)?")
_YAML_WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TAGS: Final = {"str", "int", "float", "bool", "null", "map", "seq"}
_NAN: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _from_yaml(text: str, caps: Caps) -> Any:
    """Read the data of a YAML file from its events: no tag makes an object of any class."""
    try:
        import yaml
    except ImportError:
        msg = "a drawing in YAML needs PyYAML: pip install 'flownb[yaml]'"
        raise FlowFormatError(msg) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Tree(caps).read(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1:,}, column {mark.column + 1:,})" if mark else ""
        said = getattr(error, "problem", None) or "it cannot be read"
        msg = f"this is no YAML: {said}{where}"
        raise FlowFormatError(msg) from None
    except RecursionError:
        msg = "the drawing is nested too deep to be read"
        raise FlowFormatError(msg) from None


_NO_KEY: Final[Any] = object()


@dataclass(slots=True)
class _Open:
    """A list or mapping that has not ended, and what it weighs with all that aliases repeat."""

    value: Any
    anchor: str | None
    weight: int = 1
    key: Any = _NO_KEY


class _Tree:
    """Builds data out of the events of a YAML file."""

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.stack: list[_Open] = [_Open([], None)]

    def read(self, events: Iterator[Any]) -> Any:
        for event in events:
            kind = type(event).__name__
            if kind == "ScalarEvent":
                self.put(self._tagged(event, _scalar(event)), 1, event.anchor)
            elif kind in {"MappingStartEvent", "SequenceStartEvent"}:
                self._tagged(event, None)
                self.begin({} if kind[0] == "M" else [], event.anchor)
            elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
                ended = self.stack.pop()
                self.put(ended.value, ended.weight, ended.anchor)
            elif kind == "AliasEvent":
                if event.anchor not in self.anchors:
                    self._refuse(f"the alias *{event.anchor} stands for nothing, or for itself")
                self.put(*self.anchors[event.anchor], None)
        read = self.stack[0].value
        if len(read) != 1:
            self._refuse(f"the file holds {len(read)} documents, not one")
        return read[0]

    def begin(self, value: Any, anchor: str | None) -> None:
        if len(self.stack) > self.caps.max_depth:
            self._refuse(f"nested deeper than {self.caps.max_depth} levels (max_depth=)")
        self.stack.append(_Open(value, anchor))

    def put(self, value: Any, weight: int, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = (value, weight)
        into = self.stack[-1]
        into.weight += weight
        if into.weight > _MAX_VALUES:
            self._refuse(f"more than {_MAX_VALUES:,} values")
        if isinstance(into.value, list):
            into.value.append(value)
        elif into.key is _NO_KEY:
            into.key = self._key(value, into.value)
        else:
            into.value[into.key] = value
            into.key = _NO_KEY

    def _key(self, value: Any, into: dict[str, Any]) -> str:
        if isinstance(value, (dict, list)):
            self._refuse("a key that is a list or a mapping")
        key = value if isinstance(value, str) else json.dumps(value)
        if key in into:
            self._refuse(f"the key {key!r:.80} is there twice in one mapping{_owner(into)}")
        return key

    def _tagged(self, event: Any, value: Any) -> Any:
        tag = event.tag or ""
        if tag and tag.removeprefix("tag:yaml.org,2002:") not in _TAGS and tag != "!":
            self._refuse(f"the tag {tag!r:.80} makes an object, and a drawing is plain data")
        if tag.endswith(":str"):
            return event.value
        return value

    def _refuse(self, why: str) -> NoReturn:
        place = "".join(
            step(len(one.value)) if isinstance(one.value, list) else step(one.key)
            for one in self.stack[1:]
            if isinstance(one.value, list) or isinstance(one.key, str)
        )
        msg = f"{_cut(place)}: {why}"
        raise FlowFormatError(msg)


def _scalar(event: Any) -> Any:
    """Read a scalar as JSON's types know it (1e3 is a text, as PyYAML writes it; so is a date)."""
    text = event.value
    if event.style not in {None, ""}:
        return text  # it is quoted
    if text in _YAML_WORDS:
        return _YAML_WORDS[text]
    if _YAML_NUMBER.fullmatch(text):
        return _whole(text)
    if _NAN.fullmatch(text):
        _constant(text)
    if _YAML_FLOAT.fullmatch(text):
        return float(text)
    return text
