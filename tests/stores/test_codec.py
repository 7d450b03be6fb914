"""Does what is written come back as what it was, and is the rest refused by its place?"""

from __future__ import annotations

import enum
import json
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from flownb.errors import StoreError
from flownb.stores.codec import decode, encode, lenient

KEYS = st.text(max_size=5) | st.sampled_from(["$tuple", "$", "$$tuple", "a"])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    LEAVES | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


def same(a, b):
    """Equal with equal types all the way down: 1 is not True, a list is not a tuple."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(VALUES)
def test_every_value_of_plain_types_comes_back_the_same(value):
    text = encode(value, "x")
    assert text.isascii()
    json.loads(text)
    assert same(decode(text), value)
    assert same(decode(text.encode()), value)


class Plain(BaseModel):
    x: int = 1


class Holder:
    def __repr__(self):
        raise RuntimeError


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, float("nan")]}, r"x: \.a\[1\]: NaN is not JSON"),
        ({"a": (1, float("inf"))}, r"x: \.a\[1\]: Infinity is not JSON"),
        ({"a b": {1: 2}}, r"x: \['a b'\]: the key 1 is not a string: use '1'"),
        ({"a": {1, 2}}, r"x: \.a: set is not JSON: use a sorted list"),
        ({"a": b"x"}, r"x: \.a: bytes is not JSON: decode it"),
        ({"a": Plain()}, r"x: \.a: Plain is not JSON: use \.model_dump\(\)"),
        ({"a": SecretStr("s")}, r"x: \.a: a SecretStr is not written"),
        (object(), r"x: object is not JSON"),
        ({"a": "\ud800"}, r"x: \.a: a lone surrogate is not text"),
        ({"a": 10**5000}, r"x: \.a: an integer this long"),
        (nested(100_000), r"x: \[0\]\[0\].*nested deeper than 100 levels"),
    ],
)
def test_what_would_not_come_back_the_same_is_refused_with_its_path(value, said):
    with pytest.raises(StoreError, match=said):
        encode(value, "x")


def test_a_list_inside_itself_is_refused():
    ring = []
    ring.append(ring)
    with pytest.raises(StoreError, match="inside itself"):
        encode(ring, "x")


def test_a_secret_is_not_told_in_the_error():
    with pytest.raises(StoreError) as told:
        encode({"key": SecretStr("hush")}, "x")
    assert "hush" not in str(told.value)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Colour.RED, r"\.a: Colour comes back as str: use \.value"),
        (Level.LOW, r"\.a: Level comes back as int: use \.value"),
        (np.float64(1.5), r"\.a: float64 comes back as float: use \.item\(\)"),
        (np.str_("x"), r"\.a: str_ comes back as str: use \.item\(\)"),
        (np.int64(1), r"\.a: int64 is not JSON: use \.tolist\(\)"),
        (defaultdict(int, a=1), r"\.a: defaultdict comes back as dict: use dict\(\.\.\.\)"),
        (Point(1), r"\.a: a Point comes back as a list: use \._asdict\(\) or list"),
        ({Colour.RED: 1}, r"\.a: the key <Colour.RED: 'red'>: Colour comes back as str"),
        ({True: 1}, r"\.a: the key True is not a string: use 'True'"),
    ],
)
def test_what_is_only_equal_to_what_would_come_back_is_refused(value, said):
    with pytest.raises(StoreError, match=said):
        encode({"a": value}, "x")
    with pytest.raises(StoreError, match=said):
        encode({"a": value, "t": (1,)}, "x")


def test_a_failure_is_kept_whatever_it_holds():
    kept = decode(lenient({"ok": 1, "bad": {1}, "worse": Holder(), 5: "five"}))
    assert kept == {"ok": 1, "bad": "{1}", "worse": "<Holder, whose repr raises RuntimeError>",
                    "5": "five"}  # fmt: skip
    assert decode(lenient(Holder())) == "<Holder, whose repr raises RuntimeError>"
    assert len(lenient({"x": "y" * 5000}, max_bytes=3000)) < 1100
