"""At which height does each cell of a column stand?

Each cell wishes to stand level with its neighbours; cells of a column keep their
order and their distance. The nearest heights that do (least sum of distances) are
an isotonic regression, solved exactly by pooling; medians, not means, so that the
main line of a flow comes out straight instead of almost straight.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SWEEPS = 4


def align(
    order: Sequence[Sequence[int]],
    left: Sequence[Sequence[int]],
    right: Sequence[Sequence[int]],
    apart: Callable[[int, int], float],
    weight: Sequence[int],
) -> list[float]:
    """Give the middle height of every cell; `apart(a, b)` is what two neighbours need."""
    offsets = [_offsets(column, apart) for column in order]
    height = [0.0] * len(left)
    for column, offset in zip(order, offsets, strict=True):
        for cell, o in zip(column, offset, strict=True):
            height[cell] = o
    for sweep in range(_SWEEPS + 1):
        near = left if sweep % 2 == 0 else right
        steps = list(zip(order, offsets, strict=True))
        for column, offset in steps if sweep % 2 == 0 else reversed(steps):
            wishes = [
                _wish(cell, near[cell], height, weight) - o
                for cell, o in zip(column, offset, strict=True)
            ]
            fitted = monotone(wishes, [weight[c] for c in column])
            for cell, value, o in zip(column, fitted, offset, strict=True):
                height[cell] = value + o
    return height


def monotone(wishes: Sequence[float], weights: Sequence[int]) -> list[float]:
    """Give the rising numbers that are nearest to *wishes*, in summed distance.

    >>> monotone([3.0, 1.0, 2.0, 9.0], [1, 1, 1, 1])
    [2.0, 2.0, 2.0, 9.0]
    """
    blocks: list[tuple[list[float], int]] = []
    for wish, weight in zip(wishes, weights, strict=True):
        values, members = [wish] * weight, 1
        while blocks and _upper(blocks[-1][0]) > _upper(values):
            before, more = blocks.pop()
            values, members = _merged(before, values), members + more
        blocks.append((values, members))
    return [_upper(values) for values, members in blocks for _ in range(members)]


def _offsets(column: Sequence[int], apart: Callable[[int, int], float]) -> list[float]:
    offset = [0.0] * len(column)
    for i in range(1, len(column)):
        offset[i] = offset[i - 1] + apart(column[i - 1], column[i])
    return offset


def _wish(
    cell: int, others: Sequence[int], height: Sequence[float], weight: Sequence[int]
) -> float:
    if not others:
        return height[cell]
    return _median(sorted(height[o] for o in others for _ in range(weight[o])))


def _median(values: Sequence[float]) -> float:
    return values[(len(values) - 1) // 2]


def _upper(values: Sequence[float]) -> float:
    # The first of a pool wished for the larger number: of two arms the first is straight.
    return values[len(values) // 2]


def _merged(a: list[float], b: list[float]) -> list[float]:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    for value in shorter:
        insort(longer, value)
    return longer
