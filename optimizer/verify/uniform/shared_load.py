"""Loads of many shapes by instances left, each computed once for all problems that ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.verify.common.float_load import Loads, loads
from optimizer.verify.common.float_times import Ints, ShapeTimes
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.load import chain_length

BLOCK = 2048
"""Loads computed at a time."""


class LoadTable:
    """Loads at one rate of the whole service.

    Args:
        shapes: of the lines of ``times``.
        shape, instances: the rows that may ask, (R,) each; fewer instances than these may be asked for too.
    """

    def __init__(
        self, problem: Problem, times: ShapeTimes, shapes: Sequence[ReplicaShape], shape: Ints, instances: Ints
    ) -> None:
        self.rate_per_s = problem.workload.requests_per_s
        self._problem, self._times = problem, times
        most = np.zeros(len(shapes), dtype=np.int64)
        np.maximum.at(most, shape, instances)
        self._first = np.cumsum(most + 1) - (most + 1)
        self._shape = np.repeat(np.arange(len(shapes)), most + 1)
        self._ranks = np.array([s.group.ranks for s in shapes], dtype=np.int64)
        self._known = np.zeros(len(self._shape), dtype=np.bool_)
        self._table: Loads | None = None

    def at(self, shape: Ints, instances: Ints) -> Loads:
        """Loads of shapes with so many instances left, (Q,) each; none left counts as overloaded."""
        place = self._first[shape] + np.maximum(0, instances)
        asked = np.zeros_like(self._known)
        asked[place] = True
        new = np.flatnonzero(asked & ~self._known)
        for start in range(0, len(new), BLOCK):
            self._fill(new[start : start + BLOCK])
        assert self._table is not None
        return _picked(self._table, place)

    def _fill(self, new: Ints) -> None:
        shape = self._shape[new]
        replicas = (new - self._first[shape]) * self._ranks[shape]
        rate = np.where(replicas > 0, self.rate_per_s / np.maximum(1, replicas), np.inf)
        found = loads(self._problem, self._times, shape, rate, chain_length(self._problem))
        if self._table is None:
            self._table = _picked(found, np.zeros(len(self._known), dtype=np.int64))
        for name in _COLUMNS:
            getattr(self._table, name)[new] = getattr(found, name)
        for rule, values in found.latency.items():
            self._table.latency[rule][new] = values
        self._known[new] = True


_COLUMNS = tuple(field.name for field in fields(Loads) if field.name != "latency")


def _picked(table: Loads, place: Ints) -> Loads:
    """Copies of some entries."""
    latency = {rule: values[place] for rule, values in table.latency.items()}
    return Loads(**{name: getattr(table, name)[place] for name in _COLUMNS}, latency=latency)
