"""How do people write our words in a drawing? Types, options and verdicts, as they spell them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from flownb.model.nodes import KINDS, Kind
from flownb.model.policies import OTHERWISE

BUILT_IN: Final = ("default", "input", "output")
"""The types that React Flow draws by itself: they say nothing of what a node does."""
_KINDS: Final[Mapping[str, Kind]] = {kind.replace("_", ""): kind for kind in KINDS} | {
    "condition": "if", "ifelse": "if",
}  # fmt: skip
_FOREIGN_IFS: Final = {  # n8n, Dify, Flowise
    "n8n-nodes-base.if", "n8n-nodes-base.filter", "n8n-nodes-base.switch", "if-else",
    "conditionAgentflow", "ifElseFunction",
}  # fmt: skip
_NOTES: Final = {"note", "stickynote", "customnote", "annotation", "comment"}
_GROUPS: Final = {"group", "subflow", "groupbox"}
_HOLDERS: Final = {"loop", "iteration", "frame", "container"}  # groups only if they hold nodes
_ALIASES: Final[Mapping[str, str]] = {
    "fn": "function", "func": "function", "tool": "function", "handler": "function",
    "callable": "function", "predicate": "function", "source": "function",
    "function_name": "function", "tool_name": "function",
    "every_seconds": "every", "interval": "every", "timeout_seconds": "timeout",
    "queue_name": "queue", "retries": "retry",
}  # fmt: skip
_TRUE: Final = ("true", "yes", "then", "output-0")
_FALSE: Final = ("false", "no", "else", "output-1")
VERDICTS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False), "otherwise": OTHERWISE,
}  # fmt: skip
"""What a handle, or a label, of an edge out of an if stands for."""


@lru_cache(1_000)
def _bare(word: str) -> str:
    """Write a type without what people add to it.

    >>> _bare("NonBlockingNode"), _bare("queue-reader"), _bare("n8n-nodes-base.stickyNote")
    ('nonblocking', 'queuereader', 'stickynote')
    """
    word = re.sub(r"[^a-z0-9]", "", word.rpartition(".")[2].lower())
    return word.removesuffix("node") or word


def kind_of(word: object) -> Kind | None:
    """Give the kind of node that a type stands for, None if it is none of ours.

    >>> kind_of("non-blocking"), kind_of("queueReader"), kind_of("genericNode")
    ('non_blocking', 'queue_reader', None)
    """
    if not isinstance(word, str) or "." in word:
        return None
    return _KINDS.get(_bare(word))


def foreign_if(*words: object) -> bool:
    """Whether a node of another tool decides, and its handles are verdicts."""
    return any(word in _FOREIGN_IFS for word in words if isinstance(word, str))


def is_note(word: object) -> bool:
    """Whether a type is that of a remark: drawn, never run.

    >>> is_note("noteNode"), is_note("custom-note"), is_note("denote")
    (True, True, False)
    """
    return isinstance(word, str) and _bare(word) in _NOTES


def is_group(word: object, holds: bool) -> bool:  # noqa: FBT001
    """Whether a type is that of a frame around other nodes, which it *holds*."""
    if not isinstance(word, str):
        return False
    bare = _bare(word)
    return bare in _GROUPS or (holds and bare in _HOLDERS)


@lru_cache(2_000)
def option(word: str) -> str:
    """Write the name of an option as our own interface does.

    >>> option("maxInFlight"), option("await-policy"), option("fn")
    ('max_in_flight', 'await_policy', 'function')
    """
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).replace("-", "_").lower()
    return _ALIASES.get(word, word)


def verdict(word: str, source: str) -> Any:
    """Give the verdict that a handle or label stands for; None if it is no word of the table.

    Some tools put the id of the *source* before it.

    >>> verdict("Yes", "if1"), verdict("if1-output-1", "if1"), verdict("maybe", "if1")
    (True, False, None)
    """
    bare = word.strip().lower()
    own = source.lower()
    if bare.startswith(own) and bare[len(own) : len(own) + 1] in {"-", "_", ":", "."}:
        bare = bare[len(own) + 1 :]
    return VERDICTS.get(bare)
