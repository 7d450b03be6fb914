"""Is every change of what a function reads seen, as far as `clear_cache` promises it?"""

from __future__ import annotations

import functools
import importlib
import sys

import numpy as np
import pytest

from flownb import Graph
from flownb.engine.calls.digest import Digester
from flownb.model.nodes import BlockingNode
from flownb.plan import reads
from flownb.tracebacks import is_own


def likeness(fn):
    made = Digester()
    made.reads(fn)
    return made.digest()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes and reloads modules of the user's own."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)

    def write(source, name="own_mod"):
        file = tmp_path / f"{name.replace('.', '/')}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
        importlib.invalidate_caches()
        if name in sys.modules:
            return importlib.reload(sys.modules[name])
        return importlib.import_module(name)

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def cell(source, **names):
    space = {"__name__": "__main__", **names}
    exec(source, space)
    return space


MODULE = """
RATE = {0}
TABLE = {{"a": {0}}}
def cost(n, rate={0}):
    return n * rate
def outer(n):
    return inner(n)
def inner(n):
    return n * {0}
class Base:
    def price(self, n):
        return n * {0}
class Shop(Base):
    @staticmethod
    def fixed(n):
        return n
    @property
    def rate(self):
        return {0}
"""

CELLS = {
    "a function": "import own_mod\ndef f(n):\n    return own_mod.cost(n)",
    "a constant": "import own_mod\ndef f(n):\n    return own_mod.RATE",
    "a dict": "import own_mod\ndef f(n):\n    return own_mod.TABLE['a']",
    "a function behind": "import own_mod\ndef f(n):\n    return own_mod.outer(n)",
    "a method": "import own_mod\ndef f(n):\n    return own_mod.Shop().price(n)",
    "a property": "import own_mod as m\ndef f(n):\n    return m.Shop().rate",
    "an import inside": "def f(n):\n    import own_mod\n    return own_mod.cost(n)",
    "a name imported inside": "def f(n):\n    from own_mod import cost as c\n    return c(n)",
    "a nested function": (
        "import own_mod\ndef f(n):\n    def g():\n        return own_mod.RATE\n    return g()"
    ),
    "a comprehension": "import own_mod\ndef f(n):\n    return [own_mod.RATE for _ in range(n)]",
    "a lambda": "import own_mod\nf = lambda n: own_mod.cost(n)",
    "a method of an object": "import own_mod\nf = own_mod.Shop().price",
    "an object": "import own_mod\nshop = own_mod.Shop()\ndef f(n):\n    return shop.price(n)",
    "a cached function": (
        "import functools, own_mod\n@functools.lru_cache\ndef g(n):\n    return own_mod.cost(n)\n"
        "def f(n):\n    return g(n)"
    ),
    "a partial": "import functools, own_mod\nf = functools.partial(lambda m, n: m.RATE, own_mod)\n",
    "a wrapped function": (
        "import contextlib, own_mod\n@contextlib.contextmanager\ndef timed():\n    yield\n"
        "@timed()\ndef f(n):\n    return own_mod.RATE"
    ),
    "a table of functions": (
        "import own_mod\nways = {'a': lambda n: own_mod.RATE}\ndef f(n):\n    return ways['a'](n)"
    ),
}


@pytest.mark.parametrize("source", CELLS.values(), ids=CELLS)
def test_an_edited_module_that_is_reloaded_is_seen(module, source):
    module(MODULE.format(1))
    f = cell(source)["f"]
    before = likeness(f)
    assert likeness(f) == before
    made = module(MODULE.format(2))
    old = "= own_mod.Shop()" in source  # what was made of the old class is as it was
    assert (likeness(f) == before) is old
    assert made.RATE == 2


@pytest.mark.parametrize("source", CELLS.values(), ids=CELLS)
def test_a_module_that_is_changed_in_place_is_seen(module, source):
    own = module(MODULE.format(1))
    f = cell(source)["f"]
    before = likeness(f)
    own.RATE = 2
    own.TABLE["a"] = 2
    own.cost.__defaults__ = (2,)
    own.inner.__code__ = (lambda n: n * 2).__code__
    own.Base.price = lambda self, n: n * 2
    own.Shop.rate = property(lambda self: 2)
    assert likeness(f) != before


def test_a_name_imported_from_a_module_is_seen_when_autoreload_puts_new_code_into_it(module):
    own = module(MODULE.format(1))
    f = cell("from own_mod import inner\ndef f(n):\n    return inner(n)")["f"]
    before = likeness(f)
    own.inner.__code__ = cell(MODULE.format(2))["inner"].__code__
    assert likeness(f) != before


def test_a_module_behind_a_module_and_one_of_a_package_are_followed(module):
    module("", "own_pkg.__init__")
    module("RATE = 1", "own_pkg.deep")
    module("from own_pkg import deep\ndef cost():\n    return deep.RATE", "own_pkg.top")
    fs = [
        cell("from own_pkg import top\ndef f(n):\n    return top.cost()")["f"],
        cell("import own_pkg.top\ndef f(n):\n    return own_pkg.top.cost()")["f"],
        cell("def f(n):\n    import own_pkg.deep as d\n    return d.RATE")["f"],
        cell("def f(n):\n    from own_pkg import deep\n    return deep.RATE")["f"],
    ]
    before = [likeness(f) for f in fs]
    module("RATE = 2", "own_pkg.deep")
    assert all(likeness(f) != b for f, b in zip(fs, before, strict=True))


def test_an_import_relative_to_its_module_is_followed(module):
    module("", "own_pkg.__init__")
    module("RATE = 1", "own_pkg.deep")
    top = module("def f(n):\n    from .deep import RATE\n    return RATE", "own_pkg.top")
    before = likeness(top.f)
    module("RATE = 2", "own_pkg.deep")
    assert likeness(top.f) != before


def test_what_a_module_imports_for_others_is_not_read(module):
    own = module(MODULE.format(1))
    f = cell("import own_mod\ndef f(n):\n    return own_mod.RATE")["f"]
    before = likeness(f)
    own.TABLE["a"] = 2
    assert likeness(f) == before


def changed_in_place():  # noqa: C901 - one change after the other
    def rate(n):
        return rate.factor

    rate.factor = 1
    yield rate, lambda: setattr(rate, "factor", 2)

    class Own:
        top = 1

        def __init__(self):
            self.factor, self.deep = 1, {"a": [1]}

        def __call__(self, n):
            return n * self.factor * self.top

        method = __call__

    own = Own()
    yield own, lambda: setattr(own, "factor", 2)
    yield own, lambda: own.deep["a"].append(2)
    yield own.method, lambda: setattr(Own, "top", 2)
    yield own, lambda: setattr(Own, "__call__", lambda self, n: n)
    yield lambda n: own(n), lambda: setattr(Own, "top", 3)

    class Model:
        def __init__(self):
            self.rate, self.seen, self.calls = 1, [], 0

        def fit(self, rate):
            self.rate = rate
            self.seen.append(rate)

        def predict(self, n):
            self.calls += 1
            return n * self.rate * len(self.seen)

    model = Model()
    yield model.predict, lambda: model.fit(2)
    yield lambda n: model.predict(n), lambda: setattr(model, "rate", 3)

    class Slotted:
        __slots__ = ("factor",)

    slotted = Slotted()
    slotted.factor = 1
    yield lambda n: slotted.factor, lambda: setattr(slotted, "factor", 2)

    class Node(BlockingNode):
        def run(self, data):
            return data.payload

    yield Node(), lambda: setattr(Node, "run", lambda self, data: 1)
    table, names = {"a": 1}, ["x"]
    yield lambda n: table["a"], lambda: table.update(a=2)
    yield lambda n: names[0], lambda: names.append("y")
    yield functools.partial(lambda t, n: t, table), lambda: table.update(b=2)

    @functools.singledispatch
    def way(n):
        return n

    yield lambda n: way(n), lambda: way.register(int, lambda n: -n)

    def inner(n):
        return n

    @functools.wraps(inner)
    def wrapper(n):
        return inner(n)

    def put(code):
        inner.__code__ = code

    yield wrapper, lambda: put((lambda n: n + 1).__code__)


@pytest.mark.parametrize("at", range(15))
def test_what_is_changed_in_place_is_seen(at):
    fn, change = list(changed_in_place())[at]
    before = likeness(fn)
    change()
    assert likeness(fn) != before


def test_what_it_sets_itself_is_not_seen():
    class Counter:
        def __init__(self):
            self.n = self.m = 0

        def inc(self):
            self.n += 1
            self.more()

        def more(self):
            self.m += 1

    counter = Counter()

    def f(n):
        counter.inc()
        f.calls = getattr(f, "calls", 0) + 1

    f(0)
    before = likeness(f), likeness(counter.inc)
    f(0)
    counter.inc()
    assert (likeness(f), likeness(counter.inc)) == before


def test_two_that_hold_each_other_and_a_long_chain_come_to_an_end():
    ring = {}
    ring["self"] = ring
    source = "".join(f"def f{n}(x):\n    return f{n + 1}(x)\n" for n in range(3000))
    space = cell(source + "def f3000(x):\n    return ring['self'] and A\nA = 1\n", ring=ring)
    before = likeness(space["f0"])
    assert likeness(space["f0"]) == before
    space["A"] = 2
    assert likeness(space["f0"]) != before


class Own:
    def __init__(self, deep=None):
        self.deep = deep


def test_what_is_large_is_looked_at_in_part_and_told():
    chain, wide = None, [[[n] * 900] for n in range(50)]
    for _ in range(3000):
        chain = Own(chain)
    assert likeness(lambda n: chain) == likeness(lambda n: chain)
    assert likeness(lambda n: wide) == likeness(lambda n: wide)
    (text,) = hints(lambda n: chain, cache=True)
    assert "does not see changes inside 'deep' (Own): call clear_cache('n')" in text


def test_objects_that_refuse_to_be_looked_at_do_no_harm():
    class Odd(Own):
        __module__ = 7

        def __repr__(self):
            raise RuntimeError("no repr")

        def __getattr__(self, name):
            raise RuntimeError("no attributes")

        def __eq__(self, other):
            raise RuntimeError("no comparison")

        __hash__ = object.__hash__

    odd = Odd()
    both = frozenset({odd, 1}), {odd}, [odd], {"a": odd}
    assert hints(lambda n: both, cache=True) == []
    assert likeness(lambda n: (odd, both)) is not None


def test_who_reads_too_much_is_not_cached_and_told(monkeypatch):
    monkeypatch.setattr(reads, "_MOST", 5)
    source = "".join(f"def f{n}(x):\n    return f{n + 1}(x)\n" for n in range(9))
    f = cell(source + "def f9(x):\n    return x")["f0"]
    graph = Graph("much").add_node("n", f, cache=True)
    assert "reads more than 5 functions" in str(graph.validate()[0])
    assert [graph.run(1).cached for _ in range(2)] == [0, 0]
    assert "reads more than 5 functions" in graph.last_run.lines[0].text


def hints(fn, **options):
    return [str(problem) for problem in Graph("g").add_node("n", fn, **options).validate()]


def test_what_cannot_be_followed_is_told():
    weights = np.ones(3)
    long = list(range(2000))
    source = "def f(n):\n    return eval('n') + weights[0] + long[0]"
    (text,) = hints(cell(source, weights=weights, long=long)["f"], cache=True)
    assert text == (
        "node 'n': cache= does not see changes inside 'weights' (ndarray), changes inside 'long' "
        "(list), what eval() in 'f' reads: call clear_cache('n') after a change"
    )
    assert hints(cell(source, weights=weights, long=long)["f"]) == []
    assert hints(lambda n: n, cache=True) == []


def test_cells_scripts_and_files_are_the_users_own_and_what_is_installed_is_not(module):
    own = module("")
    assert is_own("__main__")
    assert is_own(own.__name__)
    assert is_own("a_module_that_is_no_more")
    assert not any(map(is_own, ("sys", "os.path", "numpy", "numpy.linalg", "flownb", "builtins")))
