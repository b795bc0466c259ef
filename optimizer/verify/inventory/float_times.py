"""Mean times of one instance at many rates at once, in 64-bit floats."""

from __future__ import annotations

import numpy as np

from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.float_load import Loads, loads
from optimizer.verify.common.float_times import Floats, ShapeTimes
from optimizer.verify.common.load import chain_length
from optimizer.verify.inventory.instance import Instance

BLOCK = 1 << 11
"""Rates worked on at once: about 8 MB for each array of a chain of 512."""


class TimeCurve:
    """T and the percentiles of one instance as functions of its rate."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._length = chain_length(instance.problem)
        self._times: ShapeTimes | None = None

    @property
    def times(self) -> ShapeTimes:
        """Step times of the instance's shape."""
        if self._times is None:
            self._times = float_times(self.instance.problem, [self.instance.shape], self.instance.stages, self._length)
        return self._times

    def loads(self, rates: Floats) -> Loads:
        """Loads of a replica at so many requests/s of the instance."""
        zero = np.zeros(len(rates), dtype=np.int64)
        return loads(self.instance.problem, self.times, zero, rates / self.instance.ranks, self._length)

    def _means(self, rates: Floats) -> Loads:
        """The same without what only whole requests ask for."""
        zero = np.zeros(len(rates), dtype=np.int64)
        each = rates / self.instance.ranks
        return loads(self.instance.problem, self.times, zero, each, self._length, end_to_end=False)

    def mean_ms(self, rates: Floats) -> Floats:
        """T at each rate above 0; infinite where overloaded."""
        unique, back = np.unique(np.asarray(rates, dtype=np.float64), return_inverse=True)
        found = np.empty_like(unique)
        for start in range(0, len(unique), BLOCK):
            seen = self._means(unique[start : start + BLOCK])
            found[start : start + BLOCK] = np.where(seen.overloaded, np.inf, seen.mean)
        return found[back]


class TimeCurves:
    """Curves of the instances of an inventory, each built once."""

    def __init__(self) -> None:
        self._found: dict[int, TimeCurve] = {}

    def of(self, instance: Instance) -> TimeCurve:
        """The curve of an instance."""
        found = self._found.get(id(instance))
        if found is None:  # it keeps its instance alive, so that no other gets its number
            found = self._found[id(instance)] = TimeCurve(instance)
        return found
