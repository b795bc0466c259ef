"""The best day by dynamic programming over the hours: for every row of the first hour the cheapest way around the clock.

Other home: ``search/profile/model.py``; docs/profile.md, sections 3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.profile import HOUR_S, HOURS, ProfileProblem
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.stage import Stages
from optimizer.verify.profile.states import DayTable, lead_s

Floats = NDArray[np.float64]
MOST_STEPS = 6_000_000_000
"""Rows of the first hour times pairs of rows times hours: more are not gone through."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What it takes to go from a row to another between two hours, (R, R)."""

    gpu_s: Floats
    """GPU-seconds of starts and stops, a start's price counted; infinite where it is not allowed."""
    changes: Floats
    """Starts and stops."""


def steps_of(day: ProfileProblem, table: DayTable) -> Steps:
    """All pairs of rows."""
    hardware, schedule = day.problem.hardware, day.schedule
    stages, count = Stages(day.problem), len(table.rows)
    shapes = list(dict.fromkeys(one.row.shape for one in table.rows))
    shape = np.array([shapes.index(one.row.shape) for one in table.rows], dtype=np.int64)
    instances = np.array([one.row.instances for one in table.rows], dtype=np.float64)
    price = exact(0.0)
    if schedule.start_price:
        price = exact(schedule.start_price) / exact(hardware.price_per_gpu_hour or 1) * HOUR_S
    start = np.array([float(math.ceil(s.instance_gpus * lead_s(day, s, stages) + price)) for s in shapes])[shape]
    stop = np.array([float(math.ceil(s.instance_gpus * exact(schedule.drain_s))) for s in shapes])[shape]
    same = shape[:, None] == shape[None, :]
    more = instances[None, :] - instances[:, None]
    started = np.where(same, np.maximum(more, 0), instances[None, :])
    stopped = np.where(same, np.maximum(-more, 0), instances[:, None])
    gpu_s = started * start[None, :] + stopped * stop[:, None]
    changes = started + stopped
    if schedule.most_changes_per_hour is not None:
        gpu_s = np.where(changes > schedule.most_changes_per_hour, np.inf, gpu_s)
    whole = hardware.gpus_per_node
    load = np.array([whole if one.per_node is None else one.per_node for one in table.rows], dtype=np.float64)
    gpu_s = np.where(~same & (load[:, None] + load[None, :] > whole), np.inf, gpu_s)
    assert gpu_s.shape == (count, count)
    return Steps(gpu_s, changes)


def best_of_day(day: ProfileProblem, table: DayTable) -> tuple[float, float] | None:
    """(first tier, second tier) of the best day: GPU-seconds and seconds of requests, in the order asked for; None: too many rows.

    No day: both are infinite.
    """
    kept = _not_worse(day, table)
    if not len(kept):
        return np.inf, np.inf
    part = DayTable([table.rows[i] for i in kept], {rate: values[kept] for rate, values in table.values_ms.items()}, 0)
    count = len(part.rows)
    if count**3 * HOURS > MOST_STEPS:
        return None
    steps = steps_of(day, part)
    gpus = np.array([one.gpus for one in part.rows], dtype=np.float64)
    costs, times = [], []
    for rate in day.rates:
        values = part.values_ms[rate]
        allowed = np.isfinite(values)
        costs.append(np.where(allowed, HOUR_S * gpus, np.inf))
        times.append(np.where(allowed, rate * HOUR_S * values / 1000, np.inf))
    by_time = day.schedule.first == "time"
    first, second = (times, costs) if by_time else (costs, times)
    zero = np.where(np.isfinite(steps.gpu_s), 0.0, np.inf)
    moves = (zero, steps.gpu_s) if by_time else (steps.gpu_s, zero)
    best = np.inf, np.inf
    for begin in np.flatnonzero(np.isfinite(first[0])).tolist():
        ahead, behind = np.full(count, np.inf), np.full(count, np.inf)
        ahead[begin], behind[begin] = first[0][begin], second[0][begin]
        for hour in range(1, HOURS):
            ahead, behind = _step(ahead, behind, moves, first[hour], second[hour])
        tier, rest = ahead + moves[0][:, begin], behind + moves[1][:, begin]
        at = np.lexsort((rest, np.round(tier, 6)))[0]
        best = min(best, (round(float(tier[at]), 6), float(rest[at])))
    return best


def _step(
    ahead: Floats, behind: Floats, moves: tuple[Floats, Floats], first: Floats, second: Floats
) -> tuple[Floats, Floats]:
    """One hour further: of the ways to each row the one with the least first tier, and of these the least second."""
    tier = ahead[:, None] + moves[0]
    least = tier.min(axis=0)
    near = tier <= least[None, :] + 1e-6
    rest = np.where(near, behind[:, None] + moves[1], np.inf).min(axis=0)
    return least + first, rest + second


def _not_worse(day: ProfileProblem, table: DayTable) -> NDArray[np.int64]:
    """Rows of shapes of which no other of as many GPUs, that starts no later, is allowed wherever they are and no slower."""
    stages = Stages(day.problem)
    by_shape: dict[ReplicaShape, dict[int, int]] = {}
    for i, one in enumerate(table.rows):
        by_shape.setdefault(one.row.shape, {})[one.row.instances] = i
    facts = [(shape.instance_gpus, lead_s(day, shape, stages), held) for shape, held in by_shape.items()]

    def covers(a: dict[int, int], b: dict[int, int]) -> bool:
        for number, i in b.items():
            for values in table.values_ms.values():
                if np.isfinite(values[i]) and not (number in a and values[a[number]] <= values[i]):
                    return False
        return True

    def total(held: dict[int, int]) -> float:
        return sum(float(v[i]) for i in held.values() for v in table.values_ms.values() if np.isfinite(v[i]))

    kept: list[tuple[int, int, dict[int, int]]] = []
    for size, lead, held in sorted(facts, key=lambda one: (-len(one[2]), one[1], total(one[2]))):
        if not any(
            other_size == size and other_lead <= lead and covers(other, held) for other_size, other_lead, other in kept
        ):
            kept.append((size, lead, held))
    return np.array(sorted(i for _, _, held in kept for i in held.values()), dtype=np.int64)
