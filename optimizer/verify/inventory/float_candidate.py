"""The enumeration that confirms an optimum or an infeasibility: every choice of instances that could beat the answer.

A choice that could beat it satisfies linear conditions: enough capacity, what losses must leave, the preset's tier, and
for several γ the bound of section 6 below the answer's value. All choices that do are listed, stood on the nodes and valued.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from optimizer.results.answer import Fixed
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.availability import everything_up
from optimizer.verify.inventory.bound import Gains
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import CheckedInstance
from optimizer.verify.inventory.choices import TooMany, WideChoices, choices
from optimizer.verify.inventory.claims import needed_after_losses
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.multiplier import Multiplier
from optimizer.verify.inventory.outlive import capacity_needed, left_over
from optimizer.verify.inventory.places import carried_otherwise
from optimizer.verify.inventory.power import power_lines
from optimizer.verify.inventory.price_tier import TIERS, price_of, price_of_answer
from optimizer.verify.inventory.rates import MILLION
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.sparing import most_ms, spends, spent_of_answer
from optimizer.verify.inventory.spread import Unfinished
from optimizer.verify.inventory.states import TooManyStates
from optimizer.verify.inventory.stock import stock_of
from optimizer.verify.inventory.value import LoadWeights
from optimizer.verify.inventory.valuer import Valuer

MOST_STEPS = 60_000
MOST_CHOICES = 20_000
"""Choices that are looked at one by one."""
_GAMMAS = 48
_CONDITIONS = 10
"""Values of γ whose bounds are asked for at once: those that bound all choices best."""


@dataclass(frozen=True, slots=True)
class FloatSeen:
    """What the enumeration found."""

    complete: bool
    """Every choice that could beat the answer was judged."""
    choices: int
    """Those that were valued one by one."""
    rival: str | None
    """A choice that beats the answer, in words."""


class FloatCandidate:
    """The enumeration for one answer.

    Args:
        left_out: what no choice contains that beats the answer.
    """

    def __init__(
        self,
        site: CheckedSite,
        instances: Instances,
        curves: TimeCurves,
        fixed: Fixed,
        budget: Budget,
        left_out: LeftOut = NOTHING,
    ) -> None:
        self._site, self._instances, self._curves, self._fixed = site, instances, curves, fixed
        inventory = site.inventory
        self._inventory, self._weights, self._budget = inventory, LoadWeights.of(inventory.objective), budget
        self._demand = exact(inventory.workload.requests_per_s)
        stock = self._stock = stock_of(site, instances, fixed, budget, left_out)
        self.candidates = self._candidates = stock.candidates
        self._sizes = stock.uses.sum(axis=0)
        self._valuer = Valuer(site, curves, stock.pool_of_group, budget=budget)
        self._missing = np.array([1 - candidate.availability for candidate in self._candidates])
        self._gammas, self._plain = np.zeros(0), np.zeros((0, len(self._candidates)))
        self._lines: list[tuple[float, Floats, float]] = []
        self._valued: set[tuple[int, ...]] = set()
        """Choices that were stood on the nodes and valued."""

    def judge(self, answer: InventoryAnswer, completed: float) -> FloatSeen:
        """Look for a choice that beats the answer; any that keeps the rules, where none is claimed to.

        Args:
            completed: requests/s that the answer's instances complete at most.
        """
        peak = math.floor(completed * 1000 * (1 + 1e-12))
        for gain, need in self._questions(answer, peak):
            undecided = False
            try:
                for counts in self._list(gain, need):
                    found = self._judge(counts, answer, peak)
                    if isinstance(found, str):
                        return FloatSeen(True, len(self._valued), found)
                    undecided |= not found
            except TooMany:
                undecided = True
            if undecided:
                return FloatSeen(False, len(self._valued), None)
        return FloatSeen(True, len(self._valued), None)

    def _list(self, gain: Floats, need: Floats) -> Iterator[list[int]]:
        """Counts of all candidates: the best per GPU first in each pool, those over two groups by the GPUs that they use."""
        within, uses = self._stock.within, self._stock.uses
        worth = -(gain[-1] / self._sizes) if len(self._sizes) else np.zeros(0)
        pool = uses[:, :within].argmax(axis=0)
        narrow, wide = np.lexsort((worth[:within], pool)), within + np.lexsort((worth[within:], *uses[:, within:]))
        back = np.argsort(np.concatenate([narrow, wide]))
        across = WideChoices(uses[:, wide], gain[:, wide]) if len(wide) else None
        sizes = self._sizes[narrow]
        for one in choices(
            sizes,
            pool[narrow],
            self._stock.room,
            gain[:, narrow],
            need,
            MOST_STEPS,
            MOST_CHOICES,
            across,
            self._budget.spend,
        ):
            yield np.array(one, dtype=np.int64)[back].tolist()

    def _questions(self, answer: InventoryAnswer, peak: int) -> list[tuple[Floats, Floats]]:
        """(gain, need) of each set of linear conditions under one of which a choice that beats the answer falls."""
        capacity = np.array([candidate.capacity for candidate in self._candidates], dtype=np.float64)
        least = capacity_needed(self._site) * MILLION * (1 - 1e-9)
        left = left_over(self._site, self._stock)
        after = float(needed_after_losses(self._inventory)) * MILLION * (1 - 1e-9)
        conditions, needs = [capacity, *(capacity * one for one in left)], [least, *(after for _ in left)]
        for line, room in power_lines(self._site, self._stock):
            conditions, needs = [*conditions, -line], [*needs, -room]
        if answer.objective is None:
            return [(np.stack(conditions), np.array(needs))]
        sizes = self._sizes.astype(np.float64)
        used = answer.gpus_used
        questions = []
        preset = self._inventory.objective.preset
        completes = np.array([candidate.completes for candidate in self._candidates])
        if preset == "fewest-gpus":
            questions.append((np.stack([*conditions, -sizes]), np.array([*needs, -(used - 1)])))
            conditions, needs = [*conditions, -sizes], [*needs, -used]
        elif preset == "cheapest":
            prices = np.array([price_of(self._inventory, one) for one in self._candidates], dtype=np.float64)
            bill = price_of_answer(self._inventory, answer)
            questions.append((np.stack([*conditions, -prices]), np.array([*needs, -(bill - 1)])))
            conditions, needs = [*conditions, -prices], [*needs, -bill]
        elif preset == "throughput":
            questions.append((np.stack([*conditions, completes]), np.array([*needs, (peak + 1) / 1000])))
            conditions, needs = [*conditions, completes], [*needs, peak / 1000 - 1e-9]
        if answer.least is not None:
            return self._sparing(answer, conditions, needs)
        lines, bounds = self._value_conditions(answer.objective.value - 1)
        questions.append((np.stack([*conditions, *lines]), np.array([*needs, *bounds])))
        return questions

    def _sparing(
        self, answer: InventoryAnswer, conditions: list[Floats], needs: list[float]
    ) -> list[tuple[Floats, Floats]]:
        """Below the least objective; within its tolerance for less; for as little below the answer's own objective."""
        assert answer.objective is not None and answer.least is not None
        inventory = self._inventory
        spent = np.array([spends(inventory, one) for one in self._candidates], dtype=np.float64)
        most = float(spent_of_answer(inventory, answer))
        asked = [
            (answer.least.value_ms - 1, None),
            (int(answer.objective.value) - 1, most),
            (most_ms(inventory, answer), most - 1),
        ]
        questions = []
        for target, least in asked:
            # The last one's bounds are the loosest: what they rule out, no other question asks for.
            lines, bounds = self._value_conditions(target)
            extra = ([], []) if least is None else ([-spent], [-least])
            gain = np.stack([*conditions, *extra[0], *lines])
            questions.append((gain, np.array([*needs, *extra[1], *bounds])))
        return questions

    def _value_conditions(self, target_ms: float) -> tuple[list[Floats], list[float]]:
        """Bounds of section 6 at or below the target, for the values of γ that bound best."""
        weights, demand = self._weights, float(self._demand)
        if weights.latency == 0 or not self._candidates:
            return [], []
        gains = Gains(self._candidates, self._curves, self._budget)
        highest = weights.unserved * weights.penalty_ms / weights.latency if weights.unserved else math.inf
        goal = target_ms / weights.latency
        grid = np.geomspace(0.3 * goal, 30 * goal, _GAMMAS).tolist()
        often = float(everything_up(self._site))
        up = 1 - self._missing if weights.unserved else np.ones(len(self._candidates))
        while_down = gains.of(min(highest, grid[-1]))
        lines = []
        self._gammas, self._plain = np.array(grid), np.stack([gains.of(gamma) for gamma in grid])
        for gamma in grid:
            both = Multiplier(gamma, min(gamma, highest), often)
            line = both.in_states(up, gains.of(gamma), while_down)
            line = line - weights.gpu_ms / weights.latency * demand * self._sizes
            most = sum(
                room * float((line / self._sizes)[self._stock.uses[k] > 0].max(initial=0.0))
                for k, room in enumerate(self._stock.room)
            )
            lines.append((most - demand * (both.mean - goal), line, demand * (both.mean - goal)))
        lines.sort(key=lambda entry: -entry[0])
        self._lines, kept = lines, lines[-_CONDITIONS:]
        return [line for _, line, _ in kept], [need - 1e-9 * abs(need) for _, _, need in kept]

    def _judge(self, counts: Sequence[int], answer: InventoryAnswer, peak: int) -> str | bool:
        """In words, how this choice beats the answer; else whether it surely does not."""
        chosen = [(candidate, n) for candidate, n in zip(self._candidates, counts, strict=True) if n]
        replicas = self._fixed.data_parallel
        if replicas is not None and replicas != sum(candidate.instance.ranks * n for candidate, n in chosen):
            return True
        if not chosen or not self._may_beat(counts, answer):
            return True
        self._valued.add(tuple(counts))
        try:
            found = self._valuer.value(chosen, self._goal(answer))
        except (Unfinished, TooManyStates):
            return False
        if found is None or not self._better(chosen, found, answer, peak):
            return True
        exactly = [(_exact(candidate), n) for candidate, n in chosen]
        if not all(self._considered(candidate) for candidate, _ in exactly):
            return True
        again = self._valuer.value(exactly, math.inf, surely=True)
        if again is None or not self._better(exactly, again, answer, peak):
            return True
        names = [f"{n} x {candidate.instance.shape} on {self._where(candidate)}" for candidate, n in exactly]
        return f"{' + '.join(names)}: {again:.6f} ms"

    def _considered(self, candidate: CheckedInstance) -> bool:
        """Whether a pipeline over two groups carries more than its places do otherwise."""
        if len(candidate.groups) == 1:
            return True
        rate, groups = (
            Fraction(candidate.capacity, MILLION),
            [self._inventory.groups[number] for number in candidate.groups],
        )
        return rate > carried_otherwise(self._inventory, self._instances, groups, candidate.instance, self._fixed, rate)

    def _where(self, candidate: CheckedInstance) -> str:
        return " and ".join(self._inventory.groups[number].name for number in candidate.groups)

    def _may_beat(self, counts: Sequence[int], answer: InventoryAnswer) -> bool:
        """The bound at every γ, for one choice; a better tier is not asked about the value."""
        if answer.objective is None or self._inventory.objective.preset in TIERS:
            return True
        x = np.array(counts)
        all_up = float((self._gammas - self._plain @ x / float(self._demand)).max(initial=0.0))
        if self._weights.latency * all_up * self._certain(x) > self._goal(answer) + 1e-6:
            return False
        return all(float(line @ x) >= need - 1e-9 * abs(need) for _, line, need in self._lines)

    def _better(
        self, chosen: list[tuple[CheckedInstance, int]], value: float, answer: InventoryAnswer, peak: int
    ) -> bool:
        """By more than the resolution: a whole unit of the tier, or a whole millisecond."""
        if answer.objective is None:
            return True
        preset = self._inventory.objective.preset
        if answer.least is not None:
            spent, whole = sum(spends(self._inventory, one) * n for one, n in chosen), math.ceil(value)
            mine = spent_of_answer(self._inventory, answer)
            within = whole <= most_ms(self._inventory, answer) and spent < mine
            return whole < answer.least.value_ms or within or (spent <= mine and whole < answer.objective.value)
        if preset == "fewest-gpus":
            ahead = answer.gpus_used - sum(candidate.gpus * n for candidate, n in chosen)
        elif preset == "cheapest":
            chosen_for = sum(price_of(self._inventory, candidate) * n for candidate, n in chosen)
            ahead = price_of_answer(self._inventory, answer) - chosen_for
        elif preset == "throughput":
            ahead = math.floor(sum(candidate.completes * n for candidate, n in chosen) * 1000 * (1 - 1e-12)) - peak
        else:
            ahead = 0
        return ahead > 0 or (ahead == 0 and math.ceil(value) <= answer.objective.value - 1)

    def _certain(self, x: Ints) -> float:
        """Least probability that all chosen instances are up; then a request takes the mean time."""
        return max(0.0, 1 - float(self._missing @ x)) if self._weights.unserved else 1.0

    def _goal(self, answer: InventoryAnswer) -> float:
        """Milliseconds that a choice must reach to matter; infinite where a better tier is enough."""
        if answer.objective is None or self._inventory.objective.preset in TIERS:
            return math.inf
        return most_ms(self._inventory, answer) if answer.least is not None else answer.objective.value - 1


def _exact(candidate: CheckedInstance) -> CheckedInstance:
    """The candidate with its slots and rates in exact arithmetic."""
    one = candidate.instance
    slots = one.most_slots()
    rates = one.capacity(slots) * MILLION, one.slots_capacity(slots) * MILLION
    return replace(candidate, slots=slots, capacity=int(rates[0]), slots_capacity=int(rates[1]))
