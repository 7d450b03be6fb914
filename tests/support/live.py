"""What do the live tests share? A loop of one node, patience, and an event loop to run on."""

from __future__ import annotations

import asyncio
import functools
import threading
import time

from flownb import Graph


def live(test):
    """Run an async test on an event loop of its own, as a cell runs on the kernel's."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


def one(source=None, fn=None, *, name="live", every=None, node=None, **loop):
    """Give a graph of a producer "days" and one node "check"."""
    return (
        Graph(name)
        .add_producer("days", source, every=every)
        .add_node("check", fn, **(node or {}))
        .add_edge("days", "check")
        .set_loop("days", **loop)
    )


def same(payload):
    """Stand for a node that does nothing worth a word."""
    return payload


async def until(true, what="", patience=30.0):
    """Wait on the event loop until something is so."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"waited {patience} s in vain: {what}"
        await asyncio.sleep(0.005)


def until_in_script(true, what="", patience=30.0):
    """Wait without an event loop until something is so."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"waited {patience} s in vain: {what}"
        time.sleep(0.005)


_may_end = threading.Event()


def blocked():
    """Stand for a call that never comes back: it does when the test lets it go."""
    _may_end.wait(60)


def let_go():
    """End what is `blocked` in this process."""
    _may_end.set()
    time.sleep(0.05)
    _may_end.clear()
