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
from fractions import Fraction

import numpy as np

from optimizer.facts.cluster_models import ClusterModelEntry, ClusterModelsProblem
from optimizer.results.answer import Fixed
from optimizer.results.placement import PlacedInstance
from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import CheckedInstance
from optimizer.verify.inventory.choices import TooMany
from optimizer.verify.inventory.claims import needed_after_losses, noise_of
from optimizer.verify.inventory.float_candidate import FloatCandidate
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.losses import worst_loss
from optimizer.verify.inventory.outlive import capacity_needed, left_over
from optimizer.verify.inventory.rates import MILLION
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spread import Unfinished, placements
from optimizer.verify.inventory.states import TooManyStates, members_of, rates_of, states_of
from optimizer.verify.inventory.stock import SpaceTooLarge
from optimizer.verify.inventory.value import InstanceFamily, totals

TIERS = ("fewest-gpus", "cheapest", "throughput")
"""Presets that put something before the objective: their splits are not gone through."""
MOST_GPUS = 16
"""Of larger inventories the choices of single models are too many for the time there is."""
MOST_COMBINATIONS = 200_000
MOST_PLACINGS = 2_000
_SURE_MS = 1e-6

Chosen = list[tuple[CheckedInstance, int]]


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


class ModelChoices(FloatCandidate):
    """Choices of instances of one model, each with a bound on its objective."""

    def __init__(self, served: ClusterModelEntry, budget: Budget, left_out: LeftOut) -> None:
        self.served, self.site = served, CheckedSite(served.problem)
        super().__init__(self.site, Instances(served.problem), TimeCurves(), Fixed(), budget, left_out)
        self.weight = served.weight
        self.demand = float(self._demand)
        self._known: dict[int, float | None] = {}
        self.counts: list[list[int]] = []
        self.bounds: Floats = np.zeros(0)
        self.uses: Ints = np.zeros((0, len(self._stock.supplies)), dtype=np.int64)

    @property
    def room(self) -> tuple[int, ...]:
        """GPUs of each supply."""
        return self._stock.room

    def least(self, target_ms: float) -> float:
        """No choice has an objective below this, as far as bounds tell that do not look at losses, ms."""
        lines, _ = self._value_conditions(target_ms)
        if not lines:
            return -math.inf
        goal = target_ms / self._weights.latency
        return max(
            self._weights.latency * (goal + (need - most - need_noise) / self.demand)
            for most, need, need_noise in ((most, need, 1e-9 * abs(need)) for most, _, need in self._lines)
        )

    def list_below(self, target_ms: float | None) -> None:
        """List the choices that may be at most so many ms; all that may keep the rules where it is None."""
        capacity = np.array([candidate.capacity for candidate in self._candidates], dtype=np.float64)
        least = capacity_needed(self.site) * MILLION * (1 - 1e-9)
        left = left_over(self.site, self._stock)
        after = float(needed_after_losses(self._inventory)) * MILLION * (1 - 1e-9)
        conditions, needs = [capacity, *(capacity * one for one in left)], [least, *(after for _ in left)]
        if target_ms is not None:
            lines, bounds = self._value_conditions(target_ms)
            conditions, needs = [*conditions, *lines], [*needs, *bounds]
        self.counts = [one for one in self._list(np.stack(conditions), np.array(needs)) if any(one)]
        x = np.array(self.counts, dtype=np.int64).reshape(len(self.counts), len(self._candidates))
        self.uses = x @ self._stock.uses.T
        self.bounds = np.full(len(x), -np.inf)
        if target_ms is not None and self._lines:
            goal = target_ms / self._weights.latency
            for _, line, need in self._lines:
                bound = self._weights.latency * (goal + (need - x @ line) / self.demand)
                self.bounds = np.maximum(self.bounds, bound - 1e-9 * abs(bound))

    def chosen(self, at: int) -> Chosen:
        """Candidates of a choice with their counts."""
        return [(candidate, n) for candidate, n in zip(self._candidates, self.counts[at], strict=True) if n]

    def alone(self, at: int) -> float | None:
        """What a choice is worth with the inventory to itself, ms; None where it keeps the rules nowhere."""
        if at not in self._known:
            self._known[at] = self._valuer.value(self.chosen(at), math.inf)
        return self._known[at]

    @property
    def valued(self) -> int:
        """Choices that were valued."""
        return len(self._known)

    def split(self, chosen: Chosen) -> tuple[list[tuple[int, ...]], list[InstanceFamily]] | None:
        """(kinds of the choice, a family of each), with the shares that take least time."""
        kinds = list(dict.fromkeys(candidate.kind for candidate, _ in chosen))
        first = {candidate.kind: candidate for candidate, _ in reversed(chosen)}
        sizes = [sum(n for candidate, n in chosen if candidate.kind == kind) for kind in kinds]
        found = self._valuer.split([first[kind] for kind in kinds], sizes)
        if found is None:
            return None
        families = [
            InstanceFamily(
                self._curves.of(first[kind].instance), size, share * self.demand / (1000 * size),
                first[kind].slots_capacity / MILLION,
            )
            for kind, size, share in zip(kinds, sizes, found[1], strict=True)
        ]  # fmt: skip
        return kinds, families  # type: ignore[return-value]

    def value_at(
        self, chosen: Chosen, instances: list[PlacedInstance], candidates: list[CheckedInstance]
    ) -> float | None:
        """What a choice is worth where it stands, ms; None where it does not keep what has to survive there."""
        off, needed = self._inventory.search.disabled_rules, needed_after_losses(self._inventory)
        capacities = [Fraction(candidate.capacity, MILLION) for candidate in candidates]
        for loss in self._inventory.survive:
            if f"survive_{loss.level}" in off:
                continue
            worst = worst_loss(self.site, loss, instances, capacities, [False] * len(instances))
            if worst.capacity_left < needed:
                return None
        found = self.split(chosen)
        if found is None:
            return None
        kinds, families = found
        levels = rates_of(self._inventory.failures, self._inventory.levels())
        of = [kinds.index(candidate.kind) for candidate in candidates]  # type: ignore[arg-type]
        members = members_of(self.site, instances, of, levels)
        sums = totals(
            families, self.demand, self._weights, states_of(self._inventory, members, [f.instances for f in families])
        )
        value = sums.served_ms + sums.unserved_ms
        value += self._weights.gpu_ms * sum(candidate.gpus * n for candidate, n in chosen)
        return value + noise_of(self._weights, sums, value)


class _Survey:
    """One run over all models."""

    def __init__(self, problem: ClusterModelsProblem, value_ms: float | None, budget: Budget) -> None:
        self.problem, self.value, self.budget = problem, value_ms, budget
        # Pipelines over two groups are considered where nothing else keeps the rules: only then are they listed.
        left_out = NOTHING if value_ms is None else LeftOut(across=lambda *_: True)
        self.models = [ModelChoices(served, budget, left_out) for served in problem.models]
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
            f"{one.served.name} " + " + ".join(f"{n} x {candidate.instance.shape}" for candidate, n in mine)
            for one, mine in zip(self.models, chosen, strict=True)
        ]
        return f"{'; '.join(words)}: {total:.3f} ms"

    def _stand(self, chosen: Sequence[Chosen]) -> list[float] | None:
        """The values of all models at the first way to stand together that keeps what has to survive; None where there is none."""
        every = [pair for mine in chosen for pair in mine]
        owner = {id(candidate): number for number, mine in enumerate(chosen) for candidate, _ in mine}
        supplies = self.models[0]._stock.pool_of_group
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
