"""Distinct rows of parallel columns, without ``np.unique`` (which imports masked arrays: 30 ms of every command)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.costs.shapes import Ints


def distinct(*columns: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """(first, inverse): the first position of each distinct row, and for every row which distinct one it is.

    Args:
        columns: arrays of equal length; rows are compared exactly.
    """
    seen: dict[tuple[Hashable, ...], int] = {}
    rows = zip(*(column.tolist() for column in columns), strict=True)
    inverse = np.array([seen.setdefault(row, len(seen)) for row in rows], dtype=np.int64)
    first = np.full(len(seen), len(inverse), dtype=np.int64)
    np.minimum.at(first, inverse, np.arange(len(inverse)))
    return first, inverse


def distinct_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The same as ``distinct`` for two columns of whole numbers from 0, faster for many rows; first positions ascend by pair."""
    key = first * (int(second.max(initial=0)) + 1) + second
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    new = np.ones(len(key), dtype=np.bool_)
    new[1:] = sorted_key[1:] != sorted_key[:-1]
    inverse: Ints = np.empty(len(key), dtype=np.int64)
    inverse[order] = np.cumsum(new) - 1
    return order[new], inverse


def distinct_loads(shape: Ints, rate: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """The same as ``distinct`` for whole numbers beside floats, faster for many rows; first positions ascend by both."""
    order = np.lexsort((rate, shape))
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (shape[order][1:] != shape[order][:-1]) | (rate[order][1:] != rate[order][:-1])
    inverse: Ints = np.empty(len(order), dtype=np.int64)
    inverse[order] = np.cumsum(new) - 1
    return order[new], inverse
