"""What does a start find on its server? Messages that wait, readers, queues without a reader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flownb.liveness import is_dead, is_here, lives_in
from flownb.queues.redis.exchange import ask, ask_all, pairs
from flownb.queues.redis.groups import queue_stats
from flownb.queues.redis.streams import groups_of, name_of
from flownb.queues.spec import MANUAL, QueueSpec, is_by_hand

if TYPE_CHECKING:
    from flownb.queues.redis.exchange import Exchange
    from flownb.queues.redis.streams import Keys
    from flownb.queues.spec import GroupStats, QueueSpecs

_SILENT = 3000  # milliseconds; a reader asks twice a second


async def survey(
    line: Exchange, keys: Keys, specs: QueueSpecs, loops: Iterable[str], *, alone: bool
) -> list[str]:
    """A line for each thing that the user should know; `alone`: no run of ours reads there now."""
    lines = await _old_keys(line, keys, specs, loops)
    for spec in specs.values():
        stats = await queue_stats(line, spec, keys.of(spec))
        for group in stats.groups:
            lines += await _group(line, keys.of(spec), spec, group, alone=alone)
        if spec.key:
            lines += await _other_mode(line, spec, spec.key)
    return lines


async def _old_keys(
    line: Exchange, keys: Keys, specs: QueueSpecs, loops: Iterable[str]
) -> list[str]:
    names = [*(spec.name for spec in specs.values() if not spec.key), *(f"{n}.dead" for n in loops)]
    old = [f"{keys.namespace}:{keys.graph}:{name}" for name in names]
    there = await ask_all(line, [("EXISTS", key) for key in old])
    return [
        f"the key {key!r} is of an older flownb and not read any more; what is in it can be moved "
        f"by RENAME, to {keys.queue(name)!r} if it is a queue"
        for key, name, found in zip(old, names, there, strict=True)
        if found
    ]


async def _group(
    line: Exchange, key: str, spec: QueueSpec, group: GroupStats, *, alone: bool
) -> list[str]:
    if is_by_hand(group.group):
        return []
    mine = group.group in spec.known_groups or spec.mode == "competing"
    living = await living_readers(line, key, group.group)
    who = f"queue {spec.name!r}" if spec.mode == "competing" else (
        f"queue {spec.name!r}, reader {group.group!r}"
    )  # fmt: skip
    lines = []
    if mine and group.backlog:
        lines.append(
            f"{who}: {_messages(group.backlog)} there from before this start and worked on; "
            f"orch.queues.clear({spec.name!r}) drops them"
        )
    elif group.backlog and not living and spec.key is None:
        lines.append(
            f"{who}: {_messages(group.backlog)} kept for it, and nobody reads by that name: "
            f"orch.queues.forget({spec.name!r}, {group.group!r}) gives them up"
        )
    if mine and living and alone:
        lines.append(
            f"{who}: another run reads it, too ({', '.join(living)}): each message goes to one of "
            f"you"
        )
    return lines


async def _other_mode(line: Exchange, spec: QueueSpec, key: str) -> list[str]:
    """What is said where somebody reads the key of a queue in the other mode."""
    here, there = spec.mode, "broadcast" if spec.mode == "competing" else "competing"
    for group in await groups_of(line, key):
        other = (group.name == key) == (there == "competing")
        if other and not is_by_hand(group.name) and await is_read(line, key, group.name):
            said = (
                f"queue {spec.name!r}, key {key!r}: it is {here} here, and read as {there} "
                f"elsewhere: what a competing reader has done is deleted for all; give it the "
                f"same mode= everywhere"
            )
            return [said]
    return []


async def is_cluster(line: Exchange) -> bool:
    """Whether the server is a node of a Redis Cluster."""
    (reply,) = await line.exchange([("CLUSTER", "INFO")])
    return isinstance(reply, bytes) and b"cluster_state" in reply


async def living_readers(line: Exchange, key: str, group: str) -> list[str]:
    """Who reads in a group just now, in words; nobody of this process, no person."""
    (rows,) = await line.exchange([("XINFO", "CONSUMERS", key, group)])
    found: dict[str, None] = {}
    for info in map(pairs, [] if isinstance(rows, Exception) else rows):
        name = name_of(info[b"name"])
        if is_dead(name) or is_here(name) or name.rpartition("@")[0].endswith(f"/{MANUAL}"):
            continue
        if pid := lives_in(name):
            found[f"process {pid}"] = None
        elif info[b"idle"] < _SILENT:
            found["another machine"] = None
    return list(found)


async def is_read(line: Exchange, key: str, group: str) -> bool:
    """Whether somebody, of this process too, reads in a group just now."""
    rows: Any = await ask(line, "XINFO", "CONSUMERS", key, group)
    names = [name_of(pairs(row)[b"name"]) for row in rows]
    here = any(is_here(name) for name in names)
    return here or bool(await living_readers(line, key, group))


def _messages(count: int) -> str:
    return f"{count} message{'s are' if count > 1 else ' is'}"
