"""Is a node what was asked for, and does it show itself in one line?"""

from __future__ import annotations

import functools
import itertools

import pytest
from pydantic import ValidationError

from flownb.errors import ArgumentError
from flownb.model.nodes import (
    BaseNode,
    BlockingNode,
    IfNode,
    Node,
    NodeConfig,
    NodeData,
    NonBlockingNode,
    ProducerNode,
    QueueNode,
    QueueReader,
    node_name,
)
from flownb.model.workflow import Workflow


class HTTPGet(BlockingNode):
    class Config(NodeConfig):
        url: str
        tries: int = 3


def test_a_config_is_checked_when_the_node_is_made():
    assert HTTPGet(url="x").config.tries == 3
    with pytest.raises(ArgumentError, match=r"HTTPGet\('httpget'\): url: field required"):
        HTTPGet()
    with pytest.raises(ArgumentError, match="there is no setting 'trise': did you mean \"tries\""):
        HTTPGet(url="x", trise=3)
    with pytest.raises(ArgumentError, match="tries: input should be a valid integer"):
        HTTPGet(url="x", tries="many")


def test_a_config_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        HTTPGet(url="x").config.url = "y"


def test_a_class_node_is_named_after_its_class_unless_it_is_named():
    assert HTTPGet(url="x").name == "httpget"
    assert type("SlowStore", (BlockingNode,), {})().name == "slow_store"
    assert HTTPGet("mine", url="x").name == "mine"


def test_reprs_are_one_line_without_an_address():
    assert repr(HTTPGet(url="x")) == "HTTPGet('httpget', url='x', tries=3)"
    assert repr(QueueNode("out", queue="q")) == "QueueNode('out', queue='q')"
    assert repr(QueueReader("q")) == "QueueReader('q', queue='q')"


def test_without_a_run_the_payload_passes_on():
    assert BaseNode("x").run(NodeData(5)) == 5
    assert NodeData().payload is None


def test_the_classes_say_their_kinds():
    classes = (ProducerNode, BlockingNode, NonBlockingNode, IfNode, QueueNode, QueueReader)
    assert [c.kind for c in classes] == [
        "producer", "blocking", "non_blocking", "if", "queue", "queue_reader",
    ]  # fmt: skip


def test_who_is_waited_for_and_behind_whom_nobody_waits():
    graph = Workflow("g").add_producer("p").add_node("b").add_node("n", kind="non_blocking")
    graph.add_if("i").add_queue("q").add_queue("bq", kind="blocking")
    graph.add_queue_reader("r", queue="q")
    said = {n.name: (n.is_blocking, n.is_non_blocking) for n in graph.nodes.values()}
    assert said == {
        "p": (False, False),
        "b": (True, False),
        "n": (False, True),
        "i": (False, False),
        "q": (False, True),
        "bq": (True, False),
        "r": (True, False),
    }


def test_a_node_is_itself_and_not_another_one_that_says_the_same():
    assert Node("a", "blocking") != Node("a", "blocking")


def test_a_name_is_found_for_functions_partials_and_nodes_only():
    assert node_name(functools.partial(len)) == "len"
    assert node_name(str.upper) == "upper"
    with pytest.raises(TypeError, match="has no name: give its name"):
        node_name(itertools.count())
