"""Does a registry know what was registered, and nothing else?"""

from __future__ import annotations

import cmath
import functools
import math

import pytest

from flownb.errors import GraphError
from flownb.model.tools import ToolRegistry, alike, tools


def resize(image, width=10):
    """Make it smaller.

    Much smaller.
    """
    return image, width


def test_a_function_is_registered_under_a_name_and_called_by_it():
    registry = ToolRegistry()
    assert registry.register("small", resize, "shrinks") is resize
    assert registry.get("small") is resize
    assert registry.call("small", "x", width=3) == ("x", 3)
    assert str(registry.listing()[0]) == "small(image, width=10): shrinks"


def test_a_decorator_returns_the_function_in_each_of_its_forms():
    registry = ToolRegistry()
    assert registry.register(resize) is resize
    assert registry.register("b")(resize) is resize
    assert registry.register()(resize) is resize
    assert registry.register("c", description="said")(resize) is resize
    assert [(t.name, t.description) for t in registry.listing()] == [
        ("resize", "Make it smaller."),
        ("b", "Make it smaller."),
        ("c", "said"),
    ]


def test_an_unknown_name_is_an_error_that_says_which_was_meant():
    registry = ToolRegistry()
    with pytest.raises(GraphError, match=r"there is no tool 'resize'$"):
        registry.get("resize")
    registry.register(resize)
    with pytest.raises(GraphError, match="no tool 'rezise': did you mean \"resize\""):
        registry.call("rezise")


def test_names_are_in_the_order_of_registration_also_after_registering_again():
    registry = ToolRegistry()
    for name in ("b", "a", "c", "a"):
        registry.register(name, lambda: 1)
    assert list(registry) == ["b", "a", "c"]
    assert "a" in registry
    assert "z" not in registry
    assert len(registry) == 3


def defined(source: str) -> dict:
    """Run a cell and give what it defines."""
    cell: dict = {"__name__": "__main__"}
    exec(source, cell)
    return cell


def test_a_cell_that_runs_again_registers_its_functions_and_classes_anew():
    registry = ToolRegistry()
    for text in ("def f(x): return x", "def f(x): return x", "def f(x): return 2 * x"):
        registry.register(defined(text)["f"])
    assert registry.call("f", 2) == 4
    for _ in range(2):
        registry.register("Day", defined("class Day: pass")["Day"])
        registry.register("half", functools.partial(resize, width=5))
        registry.register("double", defined("f = lambda x: 2 * x")["f"])
    assert list(registry) == ["f", "Day", "half", "double"]


def made(k):
    def f(x):
        return k * x

    return f


def made_class():
    class Client: ...

    return Client


class Client:
    def get(self): ...


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (made(2), made(100)),
        (resize, made(2)),
        (lambda x: x, lambda x: 2 * x),
        (functools.partial(resize, width=5), functools.partial(resize, width=6)),
        (Client().get, Client().get),
        ([].append, [].append),
        (math.sqrt, cmath.sqrt),
        (str.upper, bytes.upper),
        (Client, made_class()),
        (dict, list),
        (defined("def f(): ...")["f"], resize),
    ],
)
def test_a_name_that_is_taken_is_refused_for_anything_else(old, new):
    registry = ToolRegistry()
    registry.register("f", old)
    with pytest.raises(GraphError, match=r"tool 'f' is .* already: give .* another name, or"):
        registry.register("f", new)
    assert registry.get("f") == old
    assert registry.register("f", new, replace=True) == new
    assert registry.get("f") == new
    registry.register("f", new)


def test_what_one_definition_made_twice_is_one_thing():
    client, registry = Client(), ToolRegistry()
    for _ in range(2):
        registry.register("get", client.get)
        registry.register("f", made(2))
    assert registry.name_of(client.get) == "get"
    assert (registry.name_of(made(2)), registry.name_of(made(3))) == ("f", None)


def test_a_function_that_holds_itself_is_compared_and_comes_to_an_end():
    def recursive():
        def f(n):
            return f(n - 1) if n else 0

        return f

    assert not alike(recursive(), recursive())


def test_registries_are_isolated_from_each_other():
    one, other = ToolRegistry(), ToolRegistry()
    one.register(resize)
    assert "resize" not in other
    assert "resize" not in tools


def test_a_function_leads_back_to_its_first_name():
    registry = ToolRegistry()
    registry.register("a", resize)
    registry.register("b", resize)
    assert registry.name_of(resize) == "a"
    assert registry.name_of(len) is None


def test_an_empty_registry_is_true_because_it_is_one():
    assert ToolRegistry()


@pytest.mark.parametrize(("name", "fn"), [("", resize), ("x", 5)])
def test_what_cannot_be_called_or_named_is_refused(name, fn):
    with pytest.raises(GraphError, match="give a name that is not empty and a callable"):
        ToolRegistry().register(name, fn)


def test_a_repr_is_one_line():
    registry = ToolRegistry()
    assert repr(registry) == "ToolRegistry(0 tools)"
    for i in range(10):
        registry.register(f"t{i}", resize)
    assert repr(registry) == "ToolRegistry(10 tools: t0, t1, t2, t3, t4, t5, t6, t7, ...)"


def test_a_signature_shows_no_address_and_a_missing_one_shows_dots():
    registry = ToolRegistry()
    registry.register("f", lambda x=tools.get: x)
    registry.register("type", type)
    first, second = registry.listing()
    assert " at 0x" not in first.signature
    assert second.signature == "(...)" or second.signature.startswith("(")


def test_a_class_without_a_docstring_has_no_description():
    class Plain(dict):
        pass

    registry = ToolRegistry()
    registry.register(Plain)
    assert registry.listing()[0].description == ""
