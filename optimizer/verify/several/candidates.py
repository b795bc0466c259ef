"""The best strategy of a model for every way to stand on nodes, found by going through all strategies there are.

Other home: ``search/several/candidates.py``; docs/several.md, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.facts.several import ModelEntry, SeveralProblem
from optimizer.results.answer import Fixed
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.groups import Row
from optimizer.verify.common.rules import clearly_holds, findings, row_findings
from optimizer.verify.common.space import count_rows, most_slots, rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.several.packing import TakenNodes, place_of
from optimizer.verify.uniform.float_candidate import BLOCK, judge_block, row_blocks

MOST_CANDIDATES = 4_000_000
"""Of all models on every number of nodes; larger spaces are not gone through."""


@dataclass(frozen=True, slots=True)
class PlacedCandidate:
    """The best strategy that takes these GPUs of these nodes: tiers in 64-bit floats, lower is better."""

    place: TakenNodes
    tier: float
    value_ms: float
    gpus: int
    problem: Problem
    row: Row
    slots: int

    def exact(self) -> tuple[Candidate, Decimal]:
        """The same in exact arithmetic, with its value in ms."""
        found = Candidate(RowFacts(self.problem, self.row, Stages(self.problem)), self.slots)
        return found, found.value().total


def candidates_of(problem: SeveralProblem) -> tuple[list[list[PlacedCandidate]], int] | None:
    """The best candidate of every place, by model, and how many strategies were gone through; None: too many."""
    asked = [_questions(served, problem.hardware.nodes) for served in problem.models]
    sizes = [count_rows(one, Fixed()) * most_slots(one, Fixed()) for of_model in asked for one in of_model]
    if sum(sizes) > MOST_CANDIDATES:
        return None
    return [_best(of_model) for of_model in asked], sum(sizes)


def _questions(served: ModelEntry, nodes: int) -> list[Problem]:
    """The question of a model on each number of nodes, with each choice that it leaves open."""
    on = [served.on(number) for number in range(1, nodes + 1)]
    return [problem.decided(choice) for problem in on for choice in problem.variants()]


def _best(asked: list[Problem]) -> list[PlacedCandidate]:
    best: dict[TakenNodes, PlacedCandidate] = {}
    for problem in asked:
        for one in _feasible(problem):
            known = best.get(one.place)
            if known is None or (one.tier, one.value_ms, one.gpus) < (known.tier, known.value_ms, known.gpus):
                best[one.place] = one
    return list(best.values())


def _feasible(problem: Problem) -> Iterator[PlacedCandidate]:
    """The best feasible number of sequences of each row; what floats cannot decide is decided exactly."""
    off, upto, stages = problem.search.disabled_rules, most_slots(problem, Fixed()), Stages(problem)
    possible = []
    for row in rows(problem, Fixed()):
        if all(rule.holds or rule.id in off for rule in row_findings(problem, row)):
            possible.append(row)
    slots = np.arange(1, upto + 1)
    for block in row_blocks(possible, max(1, BLOCK // upto)):
        seen = judge_block(problem, block, slots, stages, upto)
        for at, row in enumerate(block):
            place = place_of(problem.hardware, row)
            if place.taken[-1] == 0:  # it stands on fewer nodes, and is one of their candidates
                continue
            decided = seen.sure[at] & np.isfinite(seen.value[at])
            if decided.any():
                tier = np.where(decided, seen.tier[at], np.inf)
                value = np.where(decided & (tier == tier.min()), seen.value[at], np.inf)
                k = int(value.argmin())
                yield PlacedCandidate(place, float(tier[k]), float(value[k]), row.gpus, problem, row, int(slots[k]))
            for k in np.flatnonzero(seen.maybe[at] & ~decided).tolist():
                found = Candidate(RowFacts(problem, row, stages), int(slots[k]))
                if all(rule.id in off or clearly_holds(found, rule) for rule in findings(found)):
                    value_ms = float(found.value().total)
                    yield PlacedCandidate(
                        place, float(seen.tier[at, k]), value_ms, row.gpus, problem, row, int(slots[k])
                    )
