"""Whether caches hold what is in progress, for many shapes at once in 64-bit floats. ``docs/model.md``, section 4.

Other home: ``costs/occupancy.py``; docs/model.md, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.budget import budget_on
from optimizer.verify.common.float_load import Loads
from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.occupancy import Moments, blocks_in_progress, moments_of_one, standard_normal
from optimizer.verify.common.stage import Stage, Stages

NEAR_BYTES = 4.0
"""A shortage this small is left to exact arithmetic."""

Bools = NDArray[np.bool_]


class FloatCache:
    """The caches of shapes: one line for each shape, one column for each of its stages that differ.

    Without paging, or with rule ``kv_cache`` off, every cache holds anything.
    """

    @sixty_digits()
    def __init__(self, problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages) -> None:
        self.free = problem.search.kv_reservation == "full" or "kv_cache" in problem.search.disabled_rules
        if self.free:
            return
        z = float(standard_normal(exact(problem.requirements.preemption_share)))
        self._z, self._bend = z, (z * z - 1) / 6
        blocks = blocks_in_progress(problem)
        known: dict[tuple[tuple[tuple[int, int], ...], Fraction], Moments] = {}
        lines: list[list[tuple[float, float, float, float]]] = []
        for shape in shapes:
            line = []
            for stage, hardware in _different(stages, shape):
                key = stage.cached, stage.state_bytes
                if key not in known:
                    known[key] = moments_of_one(blocks, stage.held_bytes)
                one = known[key]
                room = budget_on(problem, hardware) - stage.beside_cache(1)
                if problem.workload.shared_tokens:
                    room -= math.ceil(stage.held_bytes(problem.workload.shared_tokens))
                line.append((float(one.mean), float(one.variance), float(one.third), float(room)))
            lines.append(line)
        widest = max(len(line) for line in lines)
        table = np.array([line + [line[0]] * (widest - len(line)) for line in lines])
        self._mean, self._variance, self._third, self._room = table.transpose(2, 0, 1)

    def short(self, load: Loads, shape: Ints) -> Floats:
        """Bytes that lack at the worst stage, (Q,), 0 or less: none; meaningless where overloaded."""
        if self.free:
            return np.full(len(shape), -np.inf)
        mean, variance, third = self._mean[shape], self._variance[shape], self._third[shape]
        number, spread, skew = load.number[:, None], load.number_variance[:, None], load.number_third[:, None]
        total = number * variance + spread * mean**2
        bent = number * third + 3 * spread * mean * variance + skew * mean**3
        need = number * mean + self._beyond(total, bent)
        lacking: Floats = (need - self._room[shape]).max(axis=1)
        return lacking

    def holds(self, load: Loads, shape: Ints) -> tuple[Bools, Bools]:
        """Whether each load has cache enough: for sure, and as far as floats can tell, (Q,) each."""
        short = self.short(load, shape)
        near = np.maximum(NEAR_BYTES, 1e-11 * np.abs(short))
        return short <= -near, short <= near

    def slots(self, upto: int) -> Ints | None:
        """Most requests in progress that each cache holds, up to a number, (S,); None: any number."""
        if self.free:
            return None
        low = np.zeros(len(self._mean), dtype=np.int64)
        high = np.full(len(self._mean), upto + 1, dtype=np.int64)
        while (high - low > 1).any():
            middle = (low + high) // 2
            n = middle[:, None].astype(np.float64)
            need = n * self._mean + self._beyond(n * self._variance, n * self._third)
            fits = (need <= self._room).all(axis=1)
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        return low

    def _beyond(self, variance: Floats, third: Floats) -> Floats:
        some = np.where(variance > 0, variance, 1.0)
        bent = np.maximum(0.0, self._bend * third / some)
        result: Floats = np.where(variance > 0, self._z * np.sqrt(some) + bent, 0.0)
        return result


def _different(stages: Stages, shape: ReplicaShape) -> list[tuple[Stage, HardwareFacts]]:
    """The stages of a replica that differ, with what they stand on."""
    found: dict[tuple[int, int], tuple[Stage, HardwareFacts]] = {}
    for stage, hardware in zip(stages.of(shape.group, shape.layers), stages.hardware(shape), strict=True):
        found.setdefault((id(stage), id(hardware)), (stage, hardware))
    return list(found.values())


def completed(times_per_s: Floats, held: Ints | None) -> Floats:
    """Requests/s completed at most with n slots, (S, N), from those with n in progress: no more than the cache holds run."""
    best: Floats = np.maximum.accumulate(times_per_s, axis=1)
    if held is None:
        return best
    n = np.minimum(np.arange(1, best.shape[1] + 1), held[:, None])
    capped: Floats = np.where(n > 0, np.take_along_axis(best, np.maximum(n, 1) - 1, axis=1), 0.0)
    return capped
