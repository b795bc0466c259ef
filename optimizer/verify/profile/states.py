"""What may run in an hour, found by going through all strategies at every rate of the day.

Other home: ``search/profile/states.py``; docs/profile.md, sections 2 and 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.profile import ProfileProblem
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.failures import straddles
from optimizer.verify.common.groups import ReplicaShape, Row
from optimizer.verify.common.rules import row_findings
from optimizer.verify.common.space import count_rows, most_slots, rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import BLOCK, judge_block, row_blocks

MOST_CANDIDATES = 6_000_000
"""Strategies times rates; more are not gone through."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DayRow:
    """A shape with a number of instances."""

    row: Row
    gpus: int
    per_node: int | None
    """GPUs on the fullest node; None where an instance spans nodes."""


@dataclass(slots=True)
class DayTable:
    """Every row that may run in some hour."""

    rows: list[DayRow]
    values_ms: dict[float, Floats]
    """By rate: expected ms of a request for each row; infinite where it may not run."""
    candidates: int


def lead_s(day: ProfileProblem, shape: ReplicaShape, stages: Stages) -> int:
    """Whole seconds from the order to start to the first request: engine start, and each GPU reading as much as the fullest holds."""
    held = max(stage.weights_bytes for stage in stages.of(shape.group, shape.layers))
    seconds = exact(day.recovery.engine_start_s) + held * shape.instance_gpus / (
        exact(day.recovery.storage_gb_per_s) * 10**9
    )
    return math.ceil(seconds)


def fullest(day: ProfileProblem, row: Row) -> int | None:
    """GPUs on the fullest node with instances dealt out one after the other."""
    hardware = day.problem.hardware
    if straddles(hardware, row.shape.instance_gpus, row.instances):
        return None
    return len(range(0, row.instances, hardware.nodes)) * row.shape.instance_gpus


def table_of(day: ProfileProblem) -> DayTable | None:
    """Rows and their values at every rate of the day; None: too many to go through."""
    problem = day.problem
    upto = most_slots(problem, Fixed())
    size = count_rows(problem, Fixed()) * upto
    if size * len(day.distinct_rates) > MOST_CANDIDATES:
        return None
    off = problem.search.disabled_rules
    known = [
        row for row in rows(problem, Fixed()) if all(one.holds or one.id in off for one in row_findings(problem, row))
    ]
    slots, found = np.arange(1, upto + 1), {}
    order = [row for block in row_blocks(known, max(1, BLOCK // upto)) for row in block]
    for rate in day.distinct_rates:
        at = day.at(rate)
        stages, best = Stages(at), []
        for block in row_blocks(known, max(1, BLOCK // upto)):
            seen = judge_block(at, block, slots, stages, upto)
            # What rounding cannot decide counts as allowed at the value there is: a rival found so is judged exactly.
            value = np.where(seen.maybe, seen.value, np.inf)
            best.append(value.min(axis=1))
        found[rate] = np.concatenate(best) if best else np.zeros(0)
    some = [
        i for i in range(len(order)) if any(np.isfinite(values[i]) or values[i] == -np.inf for values in found.values())
    ]
    kept = [DayRow(order[i], order[i].gpus, fullest(day, order[i])) for i in some]
    return DayTable(kept, {rate: values[some] for rate, values in found.items()}, size * len(day.distinct_rates))
