"""What do all stores do with a record before they keep it, and say when they cannot?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from flownb.arguments import NONE, TEXT, Rule, all_checked, number, whole, word
from flownb.errors import LoopTaken, RunTaken, StoreError
from flownb.stores.codec import encode

if TYPE_CHECKING:
    from flownb.stores.base import LoopRecord, RunRecord

PARTS: Final = ("input", "state", "shape", "options")


def now() -> float:
    """Seconds since 1970: when something was kept is said in the time of clocks on walls."""
    return time.time()


def check_asked(**asked: Any) -> None:
    """Refuse names that no store can keep, and figures that mean nothing."""
    all_checked("store", _ASKED, asked, StoreError)


_NAME: Final = TEXT | NONE
_ASKED: Final[Mapping[str, Rule]] = {
    "run_id": TEXT,
    "name": TEXT,
    "version": whole("", least=1) | NONE,
    "graph": _NAME,
    "status": word("pending", "running", "completed", "failed", "cancelled") | NONE,
    "since": number("seconds since 1970", infinite=True) | NONE,
    "until": number("seconds since 1970", infinite=True) | NONE,
    "limit": whole("runs"),
}


def written(run: RunRecord, *, max_bytes: int, parts: Sequence[str] = PARTS) -> dict[str, str]:
    """Give the JSON text of the parts of a head that may be large; StoreError names the field."""
    check_asked(run_id=run.run_id)
    where = f"run {run.run_id!r}"
    return {
        part: encode(getattr(run, part), f"{where}, its {part}", max_bytes=max_bytes)
        for part in parts
    }


def written_graph(document: Mapping[str, Any], max_bytes: int) -> str:
    """Give the JSON text of a graph document."""
    return encode(dict(document), f"graph {document.get('name')!r}", max_bytes=max_bytes)


def light(run: RunRecord) -> RunRecord:
    """Give a head without what may be large."""
    return replace(run, input=None, state=None, shape={}, options={}, steps=())


def light_loop(record: LoopRecord) -> LoopRecord:
    """Give a record without what may be large."""
    return replace(record, content="", counts="")


def graph_name(document: Mapping[str, Any]) -> str:
    """Give the name in a graph document."""
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise StoreError("a graph document has a name: save(graph.to_dict())")
    return name


def unknown_run(run_id: str, where: str) -> StoreError:
    """Say that there is no such run."""
    return StoreError(
        f"there is no run {run_id!r} in {where}: .runs.list() shows those it keeps; "
        "store= says where else to look"
    )


def unknown_graph(name: str, version: int | None, where: str) -> StoreError:
    """Say that there is no such graph."""
    which = "" if version is None else f" in version {version}"
    return StoreError(f"there is no graph {name!r}{which} in {where}")


def taken_over(run_id: str) -> RunTaken:
    """Say that somebody else goes on with this run."""
    return RunTaken(
        f"run {run_id!r} is carried on by somebody else: this one has ended here, "
        "what it did last was not kept"
    )


def loop_taken(record: LoopRecord) -> LoopTaken:
    """Say that somebody else goes on with this loop."""
    return LoopTaken(
        f"loop {record.loop!r} of graph {record.graph!r} is carried on by somebody else with the "
        "same checkpoint: it has ended here, what it did last was not kept"
    )
