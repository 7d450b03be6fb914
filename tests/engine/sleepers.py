"""A module of somebody's nodes, which says `from time import sleep`."""

from __future__ import annotations

from time import sleep

from flownb.model.nodes import BlockingNode, ProducerNode


def node(payload):
    sleep(3)
    return payload


class Node(BlockingNode):
    def run(self, data):
        sleep(3)
        return data.payload


class Producer(ProducerNode):
    def run(self, data):
        sleep(3)
        return "x"


class Callable:
    def __call__(self, payload):
        sleep(3)
        return payload

    def method(self, payload):
        sleep(3)
        return payload


def generator():
    while True:
        sleep(3)
        yield "x"


def condition(payload):
    sleep(3)
    return True
