"""Every combination of the models' choices that could beat a split, gone through; what cannot beat it is left out by its value.

Other home: ``search/several/solve.py``; docs/several.md, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from optimizer.facts.several import SeveralProblem
from optimizer.verify.several.candidates import PlacedCandidate
from optimizer.verify.several.packing import RoomOnNodes

MOST_VISITED = 400_000
"""Combinations, or beginnings of one, that are looked at."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What another split must beat: the preset's tier before the objective, and the weighted objective in ms."""

    tier: float
    value_ms: float
    tier_resolution: float
    resolution_ms: float


@dataclass(slots=True)
class Compared:
    """What was seen."""

    combinations: int = 1
    """Combinations of the choices of all models."""
    visited: int = 0
    """Combinations whose room on the nodes was looked at one by one."""
    complete: bool = True
    """False where there were too many to go through."""
    better: tuple[PlacedCandidate, ...] | None = None
    """A combination that finds room and beats the bar."""


def compare(problem: SeveralProblem, candidates: Sequence[Sequence[PlacedCandidate]], bar: Bar | None) -> Compared:
    """Look for a combination that finds room and beats the bar; of none, for any that finds room."""
    found = Compared()
    for of_model in candidates:
        found.combinations *= len(of_model)
    if found.combinations:
        _Combinations(problem, candidates, bar, found).go(0, (), 0.0, 0.0)
    return found


class _Combinations:
    def __init__(
        self, problem: SeveralProblem, candidates: Sequence[Sequence[PlacedCandidate]], bar: Bar | None, found: Compared
    ) -> None:
        self.bar, self.found = bar, found
        self.packing = RoomOnNodes(problem.hardware.nodes, problem.hardware.gpus_per_node)
        weights = [1.0 if problem.objective.preset == "fewest-gpus" else one.weight for one in problem.models]
        values = [one.weight for one in problem.models]
        self.steps = [
            sorted(((w * one.tier, v * one.value_ms, one) for one in of), key=lambda step: (step[0], step[1]))
            for w, v, of in zip(weights, values, candidates, strict=True)
        ]
        self.least = [(0.0, 0.0)]
        for of in reversed(self.steps):
            tier, value = self.least[-1]
            self.least.append((tier + min(step[0] for step in of), value + min(step[1] for step in of)))
        self.least.reverse()

    def cannot_win(self, at: int, tier: float, value: float) -> bool:
        """Whether nothing that begins so beats the bar."""
        if self.bar is None:
            return False
        tier, value = tier + self.least[at][0], value + self.least[at][1]
        if tier > self.bar.tier + self.bar.tier_resolution:
            return True
        ahead = tier < self.bar.tier - self.bar.tier_resolution
        return not ahead and value >= self.bar.value_ms - self.bar.resolution_ms

    def go(self, at: int, chosen: tuple[PlacedCandidate, ...], tier: float, value: float) -> None:
        found = self.found
        if found.better is not None or not found.complete or self.cannot_win(at, tier, value):
            return
        found.visited += 1
        if found.visited > MOST_VISITED:
            found.complete = False
            return
        if chosen and not self.packing.fits([one.place for one in chosen]):
            return
        if at == len(self.steps):
            found.better = chosen
            return
        for more, further, one in self.steps[at]:
            self.go(at + 1, (*chosen, one), tier + more, value + further)


def exact_total(problem: SeveralProblem, chosen: Sequence[PlacedCandidate]) -> Decimal:
    """The weighted objective of a combination in exact arithmetic, ms."""
    pairs = zip(problem.models, chosen, strict=True)
    return sum((Decimal(repr(served.weight)) * one.exact()[1] for served, one in pairs), Decimal(0))
