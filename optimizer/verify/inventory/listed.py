"""Choices of instances of one model on an inventory, listed with bounds on their objective, for those who combine them.

Several models and days look for combinations that beat an answer: what a choice is worth alone, and where it stands beside others.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed
from optimizer.results.placement import PlacedInstance
from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import CheckedInstance
from optimizer.verify.inventory.claims import needed_after_losses, noise_of
from optimizer.verify.inventory.float_candidate import FloatCandidate
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.left_out import LeftOut
from optimizer.verify.inventory.losses import worst_loss
from optimizer.verify.inventory.outlive import capacity_needed, left_over
from optimizer.verify.inventory.rates import MILLION
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.states import members_of, rates_of, states_of
from optimizer.verify.inventory.value import InstanceFamily, totals

Chosen = list[tuple[CheckedInstance, int]]


class ListedChoices(FloatCandidate):
    """Choices of instances of one model, each with a bound on its objective."""

    def __init__(self, problem: InventoryProblem, budget: Budget, left_out: LeftOut, weight: float = 1.0) -> None:
        self.weight = weight
        self.site = CheckedSite(problem)
        super().__init__(self.site, Instances(problem), TimeCurves(), Fixed(), budget, left_out)
        self.demand = float(self._demand)
        self._known: dict[int, float | None] = {}
        self.counts: list[list[int]] = []
        self.bounds: Floats = np.zeros(0)
        self.uses: Ints = np.zeros((0, len(self._stock.supplies)), dtype=np.int64)

    @property
    def pool_of_group(self) -> dict[int, tuple[int, ...]]:
        """First group of a supply → all its groups."""
        return self._stock.pool_of_group

    @property
    def uses_of_one(self) -> Ints:
        """GPUs of one instance: a line for each supply, a column for each candidate."""
        return self._stock.uses

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
        levels = rates_of(self._inventory, self._inventory.failing_levels())
        of = [kinds.index(candidate.kind) for candidate in candidates]  # type: ignore[arg-type]
        members = members_of(self.site, instances, of, levels)
        sums = totals(
            families, self.demand, self._weights, states_of(self._inventory, members, [f.instances for f in families])
        )
        value = sums.served_ms + sums.unserved_ms
        value += self._weights.gpu_ms * sum(candidate.gpus * n for candidate, n in chosen)
        return value + noise_of(self._weights, sums, value)
