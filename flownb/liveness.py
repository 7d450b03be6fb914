"""Which consumers of a queue are certainly dead? Their names say in which process they live.

A consumer's name says where it lives: machine, process, the moment that process began,
a number. So whoever reads the same group sees at once that a process was killed, or
that a manager of its own process was closed; a lease need not run out first. Of another
machine nothing is known: there the lease decides.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import threading
import uuid
from functools import lru_cache
from pathlib import Path

_NUMBERS = itertools.count(1)
_LOCK = threading.Lock()
_ALIVE: set[str] = set()


def begin(label: str) -> str:
    """A name for a consumer that lives from now on, in this process.

    >>> name = begin("rank")
    >>> is_dead(name)
    False
    >>> end(name)
    >>> is_dead(name)
    True
    """
    pid = os.getpid()
    name = f"{label}@{_machine()}-{pid}-{_began(pid)}-{next(_NUMBERS)}"
    with _LOCK:
        _ALIVE.add(name)
    return name


def end(name: str) -> None:
    """It reads no more: what it holds may be taken over at once."""
    with _LOCK:
        _ALIVE.discard(name)


def is_dead(name: str) -> bool:
    """Whether that consumer will certainly never come back; False when nobody can know."""
    home = name.rpartition("@")[2].split("-")
    if len(home) != 4 or home[0] != _machine() or not home[1].isdigit():  # noqa: PLR2004
        return False
    pid = int(home[1])
    if pid == os.getpid() and home[2] == _began(pid):
        with _LOCK:
            return name not in _ALIVE
    return _has_gone(pid, home[2])


def lives_in(name: str) -> int:
    """Give the process of a consumer that certainly lives, on this machine; 0 if not sure."""
    home = name.rpartition("@")[2].split("-")
    near = len(home) == 4 and home[0] == _machine() and home[1].isdigit()  # noqa: PLR2004
    return int(home[1]) if near and os.name == "posix" and not is_dead(name) else 0


def is_here(name: str) -> bool:
    """Whether that consumer lives in this very process."""
    return lives_in(name) == os.getpid()


def _has_gone(pid: int, began: str) -> bool:
    if os.name != "posix":
        return False  # elsewhere os.kill(pid, 0) is no harmless question
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives and belongs to somebody else
        return False
    now = _began(pid)
    return now != began if now else _is_zombie(pid)


def _began(pid: int) -> str:
    """When a process began: its number is used again some day. "" if that is not known."""
    fields = _stat(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def _is_zombie(pid: int) -> bool:
    """Killed, and its parent has not looked yet."""
    fields = _stat(pid)
    return bool(fields) and fields[0] in "ZX"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


@lru_cache(maxsize=1)
def _machine() -> str:
    """What two processes share that can see each other: one boot, one space of numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot, space = platform.node(), str(uuid.getnode())
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:12]
