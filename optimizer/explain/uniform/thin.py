"""Fewer candidates where there are too many for the extended question: which numbers of replicas and layer splits stay."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.search.uniform.space import Space, unevenness

MOST_ROWS = 1600
DENSE_DEGREES = 4
GROWTHS = (1.25, 1.6, 2.5, 6.0)
"""From one number of replicas to the next beyond the dense start: tried in turn until ``MOST_ROWS`` suffice."""


class Thinner:
    """The rows of a space that stay when it is thinned: the most even splits, a dense start of replicas, then growing steps.

    The largest number of replicas of each size stays in any case, and so does what a person asked for.
    """

    def __init__(self, space: Space, wanted: Collection[int]) -> None:
        self.space, self.wanted = space, set(wanted)
        shape_gpus = space.column("tp") * space.column("pp")
        largest = np.zeros(int(shape_gpus.max(initial=0)) + 1, dtype=np.int64)
        np.maximum.at(largest, shape_gpus, space.row_dp)
        best: dict[int, int] = {}
        of_shape = [unevenness(shape.layers_per_stage) for shape in space.shapes]
        for shape, uneven in zip(space.shapes, of_shape, strict=True):
            best[shape.pp] = min(uneven, best.get(shape.pp, uneven))
        least = [best[shape.pp] for shape in space.shapes]
        even: Bools = np.array(of_shape, dtype=np.int64) == np.array(least, dtype=np.int64)
        self._even: Bools = even[space.row_shape]
        self._largest: Bools = space.row_dp == largest[shape_gpus]

    def rows(self, growth: float) -> Ints:
        """Rows that stay with the given step from one number of replicas to the next."""
        degrees, value = set(range(1, DENSE_DEGREES + 1)) | self.wanted, float(DENSE_DEGREES)
        most = int(self.space.row_dp.max(initial=1))
        while value < most:
            value = value * growth + 1
            degrees.add(int(value))
        return np.flatnonzero((np.isin(self.space.row_dp, sorted(degrees)) | self._largest) & self._even)
