"""Shapes that another beats: it is at least as good in everything an inventory asks of an instance by itself.

Shape b beats shape a on the same kind of node when it stands wherever a stands (no more GPUs on each of no more nodes, and
where NVLink joins only part of a node, TP groups no wider), has at least its slots, requests in progress take up no larger
part of its cache, and every time of the load model is no longer at every number in progress. All percentiles and means are
monotone in those times, so b carries at least the rate, no slower, whatever the rate, and fails no more often. The same
follows where b's mean time at each rate of a grid is no longer than a's at the rate before it, for mean times only grow with
the rate; and where several of b do that in place of one of a. Dominated shapes come second in the search; what beats them
bounds what they earn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.problem import Problem
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.space import tie_rank

_FIRST_LOOKED_AT = 32
_NOISE = 1e-12
"""Relative difference of times that is rounding: far below what bounds and values are compared to."""


def dominated_at_each_number(quantities: Quantities, rows: Ints, slots: Ints, needs: Ints) -> dict[int, int]:
    """Positions in ``rows`` of shapes that another beats, and which; of equal ones the first in the stated tie-break beats the rest.

    Args:
        rows: (A,) rows of the space.
        slots: (R,) most sequences of each row of the space.
        needs: (K, A) what each takes up, less being better: GPUs of each part, TP width.
    """
    if quantities.problem.workload.mixed or _whole_requests(quantities.problem):
        return {}  # percentiles of mixed lengths and of whole requests are no functions that grow with every curve
    service = quantities.service
    curves = np.concatenate(
        [
            service.residence_ms[rows],
            service.round_ms[rows],
            service.prefill_ms[rows],
            service.prefill_long_ms[rows],
            service.admission_ms[rows],
            service.tpot_ms[rows],
            service.prompt_sum_ms[rows, None],
            service.prompt_max_ms[rows, None],
        ],
        axis=1,
    )
    ranks = quantities.space.column("engine_ranks")[rows]
    rank = tie_rank(quantities.space)[rows]
    least, most = _cache_shares(quantities, rows)
    limits = _Limits(slots[rows], needs, least, most)
    dominated: dict[int, int] = {}
    for coupled in sorted(set(ranks.tolist())):
        members = np.flatnonzero(ranks == coupled)
        dominated.update(_dominated(members, curves, limits, rank))
    return dominated


def _whole_requests(problem: Problem) -> bool:
    return any(limit.metric in ("e2e", "goodput") for limit in problem.requirements.latency_limits)


@dataclass(frozen=True, slots=True)
class _Limits:
    """What shapes offer beside their times: slots (A,), what they need (K, A), and parts of their caches, (A, 3) each."""

    slots: Ints
    needs: Ints
    least: Floats
    most: Floats

    def no_worse(self, some: Ints, than: int) -> Bools:
        """Which of some have no fewer slots, need no more, and their caches are taken up no more by the same requests."""
        fits = (self.slots[some] >= self.slots[than]) & (self.needs[:, some] <= self.needs[:, [than]]).all(axis=0)
        result: Bools = fits & (self.most[some] <= self.least[than] * (1 + _NOISE)).all(axis=1)
        return result

    def no_better(self, some: Ints, than: int) -> Bools:
        """Which of some this one is no worse than."""
        fits = (self.slots[some] <= self.slots[than]) & (self.needs[:, some] >= self.needs[:, [than]]).all(axis=0)
        result: Bools = fits & (self.most[than] <= self.least[some] * (1 + _NOISE)).all(axis=1)
        return result


def _cache_shares(quantities: Quantities, rows: Ints) -> tuple[Floats, Floats]:
    """Mean, variance and third moment of what one request holds, over powers of the room: at the stage with the largest
    mean, and the largest over the stages, (A, 3) each. Where no cache ever lacks, all are 0."""
    held = quantities.memory.held
    if held is None or "kv_cache" in quantities.problem.search.disabled_rules:
        return np.zeros((len(rows), 3)), np.zeros((len(rows), 3))
    shape = quantities.space.row_shape[rows]
    room = np.maximum(1.0, quantities.room[shape].astype(np.float64))
    moments = (held.mean[shape], held.variance[shape], np.maximum(0.0, held.third[shape]))
    shares = np.stack([moment / room**power for power, moment in enumerate(moments, start=1)], axis=2)
    fullest = shares[:, :, 0].argmax(axis=1)
    return shares[np.arange(len(rows)), fullest], shares.max(axis=1)


def _dominated(members: Ints, curves: Floats, limits: _Limits, rank: Ints) -> dict[int, int]:
    """The members that another member beats, and which."""
    # Likely winners first, so that most members fall to the first few comparisons.
    order = members[np.lexsort((rank[members], curves[members].sum(axis=1)))]
    front = np.zeros(0, dtype=np.int64)
    dominated: dict[int, int] = {}
    # Most that do not beat another show it at one of a few numbers in progress.
    few = np.ascontiguousarray(curves[:, :: max(1, curves.shape[1] // _FIRST_LOOKED_AT)])
    for member in order.tolist():
        # The same stages in another order add up to the same time but for the last digits.
        may = front[limits.no_worse(front, member) & (few[front] <= few[member] * (1 + _NOISE)).all(axis=1)]
        winner = next((one for one in may.tolist() if (curves[one] <= curves[member] * (1 + _NOISE)).all()), None)
        if winner is not None:
            dominated[member] = winner
            continue
        may = front[limits.no_better(front, member) & (few[member] <= few[front] * (1 + _NOISE)).all(axis=1)]
        fallen = [one for one in may.tolist() if (curves[member] <= curves[one] * (1 + _NOISE)).all()]
        dominated.update(dict.fromkeys(fallen, member))
        front = np.append(front[~np.isin(front, fallen)], member)
    return dominated


def dominated_at_each_rate(
    means: Floats, grid: Floats, carries: Ints, needs: Ints, *, several: bool = True
) -> dict[int, tuple[int, int]]:
    """Members that another beats by rates and mean times: which, and how many of it stand in place of one.

    m instances of b that stand where one of a stood beat it when together they carry at least as much, and each at its part of the rate
    takes no longer. What is left after any loss is then no less, because the losses of b are part of those of a.

    Args:
        means: (A, G) mean time at each rate of the grid, ms.
        grid: (G,) rising rates in the unit of ``carries``, the first next to nothing.
        carries: (3, A) rates within limits, within slots, and at most.
        needs: (A, parts, 3) GPUs on a node, nodes, and TP width of each part.
        several: whether several may stand in place of one; not when the number of replicas is fixed.
    """
    order = np.lexsort((-carries[1], (needs[:, :, 0] * needs[:, :, 1]).sum(axis=1)))
    dominated: dict[int, tuple[int, int]] = {}
    for one in order.tolist():
        if one in dominated:
            continue
        for other in range(len(order)):
            if other in dominated:
                continue
            times = _in_place_of(needs[one], needs[other])
            times = times if several else min(times, 1)
            if other == one or not times or (times * carries[:, one] < carries[:, other]).any():
                continue
            reach = np.flatnonzero(grid[:-1] < carries[1, other])
            # Mean times only grow: the next sampled rate above stands for what lies below it.
            at = np.searchsorted(grid, grid[reach + 1] / times)
            if (means[one, at] <= means[other, reach]).all():
                dominated[other] = (one, times)
    return dominated


def _in_place_of(one: Ints, other: Ints) -> int:
    """How many of one stand where one of the other stood, 0 if none."""
    if (one > other).any():
        return 0
    gpus, nodes, _ = one[0]
    return int(other[0, 1] * (other[0, 0] // gpus)) if len(one) == 1 and nodes == 1 else 1
