"""A module of somebody's nodes, which says `from time import sleep`."""

from __future__ import annotations

from time import sleep

from flownb.model.nodes import BlockingNode, ProducerNode

LONG = 600  # seconds: nobody takes a slow machine for one that really slept


def node(payload):
    sleep(LONG)
    return payload


class Node(BlockingNode):
    def run(self, data):
        sleep(LONG)
        return data.payload


class Producer(ProducerNode):
    def run(self, data):
        sleep(LONG)
        return "x"


class Callable:
    def __call__(self, payload):
        sleep(LONG)
        return payload

    def method(self, payload):
        sleep(LONG)
        return payload


def generator():
    while True:
        sleep(LONG)
        yield "x"


def condition(payload):
    sleep(LONG)
    return True
