"""When need a node not be called? When it has `cache=` and was called with an equal input.

What it gave is kept in the process in which it ran, under its graph's and its own name, so
that it is still there when the cell that builds the graph is run again; a node whose
function, or what that reads, is another one now is called (`flownb.plan.reads`). What a
call gave is copied, in and out: nobody can change what is kept. A failure is not kept. A
simulation has results of its own.
"""

from __future__ import annotations

import copy
import functools
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from flownb.engine.calls.digest import Digester
from flownb.errors import FAILS, beside, told
from flownb.records.events import NOTHING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from flownb.engine.calls.call import Call
    from flownb.engine.calls.call_site import CallSite
    from flownb.model.nodes import Node

RESULTS: Final = 128  # of each node, if it does not say how many
_NODES: Final = 1000


class Results:
    """What one node gave; at most *size* results, those asked for least recently go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[Any, list[Any]]] = OrderedDict()
        self.own: dict[int, Any] = {}
        """Lists, dicts and sets that the node itself changes, by id: its own affair."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Any:
        """Give what is kept under a key, else NOTHING."""
        with self._lock:
            if key not in self._kept:
                return NOTHING
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: bytes, result: Any, held: list[Any], size: int) -> None:
        """Keep a result, and what its key knows by identity."""
        with self._lock:
            self._kept[key] = result, held
            self._kept.move_to_end(key)
            while len(self._kept) > size:
                self._kept.popitem(last=False)


class Cache:
    """The results of all nodes that have `cache=`, by graph and node."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[tuple[str, str], Results] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, graph: str, node: str) -> Results:
        """Give the results of a node."""
        with self._lock:
            results = self._nodes.setdefault((graph, node), Results())
            self._nodes.move_to_end((graph, node))
            if len(self._nodes) > _NODES:
                self._nodes.popitem(last=False)
            return results

    def clear(self, graph: str, nodes: tuple[str, ...] = ()) -> int:
        """Forget the results of some nodes of a graph, or of all; say how many there were."""
        with self._lock:
            gone = [k for k in self._nodes if k[0] == graph and (not nodes or k[1] in nodes)]
            return sum(len(self._nodes.pop(key)) for key in gone)


cache: Final = Cache()


class Cached:
    """Calls one node, or gives what it gave for an equal input; *aside* does work in a thread."""

    def __init__(
        self, site: CallSite, aside: Callable[[Callable[[], Any]], Awaitable[tuple[Any, Any]]]
    ) -> None:
        self._site, self._runtime, self._beside, node = site, site.runtime, aside, site.node
        self._of = node.cache if callable(node.cache) else None
        size: Any = node.cache
        self._size: int = RESULTS if self._of or size is True else size
        self._reported_to: Callable[[], Any] = lambda: None

    async def call(self, token: Call, call: Callable[[], Awaitable[Any]]) -> Any:
        """Give the kept result, else *call* and keep what comes of it."""
        seen = await self._seen(token)
        world, held = self._runtime.world, list[Any]()
        results = (cache if world.cache is None else world.cache).of(
            self._site.graph, self._site.name
        )
        keys, error = await self._aside(self._keys, token, seen, held, results)
        if error is None:
            code, value = keys
            found, error = await self._aside(_copied, results.get(code.digest() + value))
            if error is None and found is not NOTHING:
                return found
        output = await call()
        if error is None:
            copied, error = await self._aside(_copied, output)
        if error is None and (code.reading.pending or code.containers):
            code, error = await self._aside(self._afterwards, code, held, results)
        if error is None:
            results.put(code.digest() + value, copied, held, self._size)
        else:
            self._warn(token, error)
        return output

    async def _aside(self, call: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
        return await self._beside(functools.partial(_tried, call, *args))

    async def _seen(self, token: Call) -> Any:
        """Give what of the input matters; what the user's function raises fails the node."""
        if self._of is None:
            return token.payload
        seen, error = await self._aside(self._of, token.payload)
        if error is not None:
            raise beside(f"node {self._site.name!r}: its cache= function", error) from error
        return seen

    def _keys(self, token: Call, seen: Any, held: list[Any], results: Results) -> Any:
        """Give what the result depends on: what is called, and with what."""
        value = Digester(held)
        value.value((self._site.config, token.item.failed_sources(self._site.plan), seen))
        return self._code(held, results), value.digest()

    def _code(self, held: list[Any], results: Results) -> Digester:
        site, code = self._site, Digester(held, results.own)
        code.reads((_called(site.node, virtual=self._runtime.virtual), self._of))
        if site.takes_context:
            code.reads(tuple((tool.name, tool.fn) for tool in self._runtime.tools.listing()))
        return code

    def _afterwards(self, code: Digester, held: list[Any], results: Results) -> Digester:
        """Look again after the call: it may have imported something, or noted something down.

        What it changes in place does not count from then on. What somebody else changed
        meanwhile does: then nobody knows what the result depends on.
        """
        again = self._code(held, results)
        changed = {
            known: container
            for known, (container, before) in code.containers.items()
            if again.containers.get(known, (None, before))[1] != before
        }
        if not changed.keys() <= code.reading.changing:
            raise RuntimeError("something that it reads was changed while it was called")
        results.own.update(changed)
        return self._code(held, results) if changed or code.reading.pending else code

    def _warn(self, token: Call, error: BaseException) -> None:
        runtime = self._runtime
        if self._reported_to() is runtime:
            return
        self._reported_to = weakref.ref(runtime)  # once for each run or loop
        why = told(error)
        text = f"cache= has no effect here: {why}"
        runtime.log(self._site.name, token.iteration, "warning", text)


def _called(node: Node, *, virtual: bool) -> Any:
    return node.fake if virtual and node.fake else node.fn


def _copied(value: Any) -> Any:
    return value if value is NOTHING else copy.deepcopy(value)


def _tried(call: Callable[..., Any], *args: Any) -> tuple[Any, BaseException | None]:
    try:
        return call(*args), None
    except FAILS as error:
        return None, error
