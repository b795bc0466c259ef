"""Every split of a small inventory between several models that could beat an answer: what bounds leave is stood on the nodes and valued.

Each model's choices of instances are listed by the verifier's own tables; those whose bound (``docs/inventories.md``, section 6) leaves
the others no room below the answer's value are left out. Combinations that need more GPUs than there are, or whose bounds add up to
no less, are left out too; the rest is valued, each model standing alone first, then all together.

Other home: ``search/several/cluster_solve.py``; docs/several.md, section 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.verify.common.float_times import Ints
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.choices import TooMany
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.listed import Chosen, ListedChoices
from optimizer.verify.inventory.spread import Unfinished, placements
from optimizer.verify.inventory.states import TooManyStates
from optimizer.verify.inventory.stock import SpaceTooLarge

TIERS = ("fewest-gpus", "cheapest", "throughput")
"""Presets that put something before the objective: their splits are not gone through."""
MOST_GPUS = 16
"""Of larger inventories the choices of single models are too many for the time there is."""
MOST_COMBINATIONS = 200_000
MOST_PLACINGS = 2_000
_SURE_MS = 1e-6


@dataclass(frozen=True, slots=True)
class SplitsSeen:
    """What was seen of other splits."""

    complete: bool
    """Every split that could beat the answer was judged."""
    choices: int = 0
    """Choices of single models that were listed."""
    compared: int = 0
    """Choices that were valued, of single models and of all together."""
    rival: str | None = None
    """A split that beats the answer, in words."""


def survey(problem: ClusterModelsProblem, value_ms: float | None, budget: Budget) -> SplitsSeen:
    """Go through the splits that could beat an answer, or of none through all.

    Args:
        value_ms: the weighted objective that is claimed to be least; None: that there is no split.
    """
    if problem.gpus > MOST_GPUS or problem.inventory.power_limits:  # power that models share is not counted here
        return SplitsSeen(False)
    try:
        return _Survey(problem, value_ms, budget).run()
    except (TooMany, SpaceTooLarge, Unfinished, TooManyStates):
        return SplitsSeen(False)


class _Survey:
    """One run over all models."""

    def __init__(self, problem: ClusterModelsProblem, value_ms: float | None, budget: Budget) -> None:
        self.problem, self.value, self.budget = problem, value_ms, budget
        # Pipelines over two groups are considered where nothing else keeps the rules: only then are they listed.
        left_out = NOTHING if value_ms is None else LeftOut(across=lambda *_: True)
        self.models = [ListedChoices(served.problem, budget, left_out, served.weight) for served in problem.models]
        self.together = 0

    def run(self) -> SplitsSeen:
        if self.value is None:
            for one in self.models:
                one.list_below(None)
        else:
            least = [one.weight * one.least(self.value / one.weight) for one in self.models]
            for number, one in enumerate(self.models):
                others = sum(least) - least[number]
                # Below by a thousandth at least: weights count in thousandths and values in whole ms.
                one.list_below((self.value - others) / one.weight + _SURE_MS)
        listed = sum(len(one.counts) for one in self.models)
        for at in self._combinations():
            rival = self._judge(at)
            if rival is not None:
                return SplitsSeen(True, listed, self._compared, rival)
        return SplitsSeen(True, listed, self._compared)

    @property
    def _compared(self) -> int:
        return self.together + sum(one.valued for one in self.models)

    def _combinations(self) -> Iterator[list[int]]:
        """A choice of each model, where the GPUs suffice and bounds add up to less than the answer's value."""
        left = [MOST_COMBINATIONS]
        least = [float((one.weight * one.bounds).min(initial=math.inf)) for one in self.models]

        def extend(number: int, room: Ints, sum_ms: float, at: list[int]) -> Iterator[list[int]]:
            if number == len(self.models):
                yield at
                return
            one = self.models[number]
            fits = (one.uses <= room).all(axis=1)
            if self.value is not None:
                rest = sum(least[number + 1 :])
                fits &= sum_ms + one.weight * one.bounds + rest < self.value - _SURE_MS
            for index in np.flatnonzero(fits).tolist():
                left[0] -= 1
                if left[0] < 0:
                    raise TooMany
                self.budget.spend()
                more = one.weight * float(one.bounds[index]) if self.value is not None else 0.0
                yield from extend(number + 1, room - one.uses[index], sum_ms + more, [*at, index])

        yield from extend(0, np.array(self.models[0].room, dtype=np.int64), 0.0, [])

    def _judge(self, at: Sequence[int]) -> str | None:
        """In words how a combination beats the answer; None where it does not."""
        total = 0.0
        for one, index in zip(self.models, at, strict=True):
            value = one.alone(index)
            if value is None:
                return None
            total += one.weight * math.ceil(value - 1e-9)
        if self.value is not None and total > self.value - _SURE_MS:
            return None
        self.together += 1
        chosen = [one.chosen(index) for one, index in zip(self.models, at, strict=True)]
        values = self._stand(chosen)
        if values is None:
            return None
        total = sum(one.weight * math.ceil(value - 1e-9) for one, value in zip(self.models, values, strict=True))
        if self.value is not None and total > self.value - _SURE_MS:
            return None
        words = [
            f"{one.site.inventory.name} " + " + ".join(f"{n} x {candidate.instance.shape}" for candidate, n in mine)
            for one, mine in zip(self.models, chosen, strict=True)
        ]
        return f"{'; '.join(words)}: {total:.3f} ms"

    def _stand(self, chosen: Sequence[Chosen]) -> list[float] | None:
        """The values of all models at the first way to stand together that keeps what has to survive; None where there is none."""
        every = [pair for mine in chosen for pair in mine]
        owner = {id(candidate): number for number, mine in enumerate(chosen) for candidate, _ in mine}
        supplies = self.models[0].pool_of_group
        groups = {number: supplies[number] for candidate, _ in every for number in candidate.groups}
        for instances, candidates in placements(self.models[0].site, every, groups, MOST_PLACINGS):
            self.budget.spend()
            values: list[float] = []
            for number, one in enumerate(self.models):
                mine = [at for at, candidate in enumerate(candidates) if owner[id(candidate)] == number]
                value = one.value_at(chosen[number], [instances[at] for at in mine], [candidates[at] for at in mine])
                if value is None:
                    break
                values.append(value)
            if len(values) == len(self.models):
                return values
        return None
