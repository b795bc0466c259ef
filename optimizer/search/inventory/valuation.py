"""The exact objective of a placed plan: the best shares of the load, and the mean over all failure states. Sections 3 and 5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.inventory import InventoryProblem
from optimizer.search.inventory.candidates import MICRO, Candidates, InstanceCandidate
from optimizer.search.inventory.plan import Plan, Stand
from optimizer.search.inventory.states import Site, Spread, Standing, Unavailable
from optimizer.search.uniform.quantities import ObjectiveWeights

SHARES = 1000
MOST_UNTIMED_MS = 1e-7
"""The rarest states take the mean time at the most an instance carries, which is no less than theirs, as long as together they
add no more than this to the mean. Near saturation that time has no limit, so how rare they are does not say it alone."""
HOURS_PER_MONTH = 730
RAREST_OUTAGE = 1e-9
"""Rarer outages are not timed: they cannot be told from what was lumped."""
_STEP = 0.02


@dataclass(frozen=True, slots=True)
class LoadSplit:
    """Shares of the families in thousandths, the rate of one instance of each (requests/s), and the mean time (ms)."""

    thousandths: tuple[int, ...]
    rates: tuple[float, ...]
    mean_ms: float


@dataclass(frozen=True, slots=True)
class PlanValue:
    """What a placed plan is worth. Times in ms; ``capacity`` as in ``inventory_answer.Reliability``."""

    exact_ms: float
    served_ms: float
    unserved_ms: float
    gpus_ms: float
    availability: float
    carried: float
    lumped: float
    capacity: tuple[tuple[float, float], ...]
    states: int


class Valuation:
    """Values plans of one problem; results that plans share are kept."""

    def __init__(self, problem: InventoryProblem, candidates: Candidates) -> None:
        self.problem, self.candidates = problem, candidates
        self.demand = problem.workload.requests_per_s
        self.weights = ObjectiveWeights.of(problem.objective)
        self.unavailable = unavailable(problem)
        self._taken = taken_away(problem)
        self._costs: dict[tuple[int, int, int], Floats] = {}
        domains = [
            (level, name, members)
            for level in problem.levels()
            if level not in ("gpu", "node", "rack")
            for name, members in problem.wide_domains(level).items()
        ]
        self._wide = [
            tuple((level, name) for level, name, members in domains if group.name in members)
            for group in problem.groups
        ]
        """(level, name) of the zone and the stated domains of each group."""

    def candidate(self, family: tuple[int, int]) -> InstanceCandidate:
        """The candidate of a family."""
        kind, position = family
        return self.candidates.group_types[kind].candidates[position]

    def means(self, families: tuple[tuple[int, int], ...], rates: Floats) -> Floats:
        """Mean time of every family at the rates of its column, (N, families) ms."""
        result = np.empty(rates.shape)
        for kind in {family[0] for family in families}:
            columns = [i for i, family in enumerate(families) if family[0] == kind]
            here = [self.candidate(families[i]) for i in columns]
            result[:, columns] = self.candidates.group_types[kind].means(here, rates[:, columns].T).T
        return result

    def split(self, plan: Plan) -> LoadSplit | None:
        """The shares with the least mean time within every family's capacity; None when thousandths cannot say any."""
        families, counts = plan.families(self.candidates), plan.family_counts(self.candidates)
        best: Floats = np.array([0.0])
        choices: list[Ints] = []
        for family, count in zip(families, counts, strict=True):
            costs = self._cost(family, count)
            # total[s]: least cost of s thousandths on the families so far.
            reach = min(SHARES, len(best) - 1 + len(costs) - 1)
            table = np.full((reach + 1, len(costs)), np.inf)
            for share in range(1, len(costs)):
                end = min(reach, share + len(best) - 1)
                table[share : end + 1, share] = best[: end - share + 1] + costs[share]
            choices.append(table.argmin(axis=1))
            best = table.min(axis=1)
        if len(best) <= SHARES or not np.isfinite(best[SHARES]):
            return None
        left, shares = SHARES, []
        for choice in reversed(choices):
            shares.append(int(choice[left]))
            left -= shares[-1]
        thousandths = tuple(reversed(shares))
        rates = tuple(s * self.demand / SHARES / n for s, n in zip(thousandths, counts, strict=True))
        return LoadSplit(thousandths, rates, float(best[SHARES]))

    def _cost(self, family: tuple[int, int], count: int) -> Floats:
        """Mean time of s thousandths times their share, for s = 0…most that the family carries, (S + 1,) ms."""
        key = (*family, count)
        if key not in self._costs:
            candidate = self.candidate(family)
            most = min(SHARES, int(candidate.capacity * count * SHARES / (self.demand * MICRO) * (1 + 1e-12)))
            shares = np.arange(1, most + 1)
            rates = shares * self.demand / SHARES / count
            means = (
                self.candidates.group_types[family[0]].means([candidate], rates[None, :])[0] if most else np.array([])
            )
            self._costs[key] = np.concatenate([[np.inf], shares / SHARES * means])
        return self._costs[key]

    def site(self, plan: Plan, stands: tuple[Stand, ...]) -> Site:
        """The placed plan as the distribution of failures sees it; pools are families."""
        families = {family: number for number, family in enumerate(plan.families(self.candidates))}
        number: dict[tuple[int, int], int] = {}
        instances, racks, wide, kinds = [], {}, {}, {}
        for stand in stands:
            entry = plan.entries[stand.entry]
            parts = []
            for place, gpus in zip(stand.nodes, stand.gpus, strict=True):
                group = self.problem.groups[place[0]]
                index = number.setdefault(place, len(number))
                racks[index] = group.rack_of(place[1])
                wide[index] = self._wide[place[0]]
                kinds[index] = self._taken.index(group.interruptions_per_hour)
                parts.append((index, len(gpus)))
            pool = families[(self.candidates.places[entry.place].kind, entry.candidate)]
            instances.append(Standing(pool, tuple(parts)))
        return Site(len(families), instances, racks, wide, kinds)

    def value(self, plan: Plan, split: LoadSplit, site: Site) -> PlanValue:
        """The objective over all failure states."""
        spread = site.spread(self.unavailable)
        families, counts = plan.families(self.candidates), np.array(plan.family_counts(self.candidates))
        w = self.weights
        rates = np.array(split.rates)
        limits = np.array([self.candidate(family).slots_capacity for family in families]) / MICRO
        states = _States(self, families, counts, rates, limits, spread)
        probability = spread.probability
        served = states.served
        latency = states.latency_ms
        availability = float(probability @ served)
        unserved = float(probability @ (1 - served)) + spread.lumped
        gpus_ms = w.gpu_ms * plan.gpus(self.candidates)
        if w.unserved == 0:
            served_ms, unserved_ms = w.latency * split.mean_ms, 0.0
        else:
            served_ms, unserved_ms = w.latency * float(probability @ latency), w.unserved * w.penalty_ms * unserved
        capacity = (counts - spread.down) @ limits
        order = np.argsort(-capacity, kind="stable")
        levels: dict[float, float] = {}
        for position in order.tolist():
            level = round(float(capacity[position]), 6)
            levels[level] = levels.get(level, 0.0) + float(probability[position])
        return PlanValue(
            exact_ms=served_ms + unserved_ms + gpus_ms,
            served_ms=served_ms,
            unserved_ms=unserved_ms,
            gpus_ms=gpus_ms,
            availability=availability,
            carried=float(probability @ (served >= 1)),
            lumped=spread.lumped,
            capacity=tuple(levels.items()),
            states=len(probability),
        )

    def hours_between_outages(self, plan: Plan, split: LoadSplit, site: Site, value: PlanValue) -> float | None:
        """P(carried) / frequency of outages. None where they are rarer than ``RAREST_OUTAGE`` of the time.

        The frequency is the sum over independent parts of (1 − u) / mtbf · (P(carried | up) − P(carried | down)), and the last
        factor summed over all parts of one kind is −dP(carried)/du of that kind: a difference, its leading error removed.
        """
        out = 1.0 - value.carried
        if out < RAREST_OUTAGE:
            return None
        families, counts = plan.families(self.candidates), np.array(plan.family_counts(self.candidates))
        rates = np.array(split.rates)
        limits = np.array([self.candidate(family).slots_capacity for family in families]) / MICRO
        failures = self.problem.failures
        kinds = {"gpu": "gpu", "rack": "rack", "zone": "zone", "stated": "domain"}
        now, frequency = self.unavailable, 0.0
        # Of each: the share of time that one is down, how often an hour it goes down, and all shares with this one changed.
        parts: list[tuple[float, float, Callable[[float], Unavailable]]] = []
        for field, level in kinds.items():
            rate = failures.mtbf(level)
            if rate is not None:
                parts.append((getattr(now, field), 1 / rate.value, partial(_with, now, field)))
        for kind, taken in enumerate(self._taken):
            often = 1 / failures.node_mtbf_hours.value + taken
            parts.append((now.nodes[kind], often, partial(_with_node, now, kind)))
        for u, per_hour, changed in parts:
            if u == 0:
                continue

            def outage(share: float, changed: Callable[[float], Unavailable] = changed) -> float:
                spread = site.spread(changed(share))
                served = _States(self, families, counts, rates, limits, spread).served
                return float(spread.probability @ (served < 1)) + spread.lumped

            near, far = (
                (outage(u * (1 + step)) - outage(u * (1 - step))) / (2 * step * u) for step in (_STEP, 2 * _STEP)
            )
            slope = (4 * near - far) / 3
            frequency += (1 - u) * per_hour * slope
        return value.carried / frequency if frequency > 0 else None


class _States:
    """How much each failure state serves, and in what mean time (both as parts of all requests)."""

    def __init__(
        self,
        valuation: Valuation,
        families: tuple[tuple[int, int], ...],
        counts: Ints,
        rates: Floats,
        limits: Floats,
        spread: Spread,
    ) -> None:
        demand, w = valuation.demand, valuation.weights
        alive = (counts - spread.down).astype(np.float64)
        share = alive @ rates / demand
        there = alive > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            unchanged = np.where(there, rates / share[:, None], 0.0)
            total = alive @ limits
            by_capacity = np.where(there, limits * (demand / total)[:, None], 0.0)
        fits = ((unchanged <= limits * (1 + 1e-12)) | ~there).all(axis=1) & (share > 0)
        can = total >= demand * (1 - 1e-12)
        now = np.where(fits[:, None], unchanged, by_capacity)
        carried: Bools = fits | can
        full = (spread.down == 0).all(axis=1)
        planned = valuation.means(families, rates[None, :])[0]
        shed = (alive * rates * planned).sum(axis=1) / demand
        to_shed = w.latency * shed + w.unserved * (1 - share) * w.penalty_ms
        at_most = valuation.means(families, limits[None, :])[0]
        carry = (alive * np.where(there, now, 0.0) * at_most).sum(axis=1) / demand
        # An upper bound of the time may stand for it where it moves no figure, and where even it costs less than shedding.
        untimed = _rarest(spread.probability, MOST_UNTIMED_MS / float(at_most.max())) & (w.latency * carry <= to_shed)
        todo = carried & ~untimed
        times = valuation.means(families, np.where(there, now, rates)[todo])
        carry[todo] = ((alive * np.where(there, now, 0.0))[todo] * times).sum(axis=1) / demand
        carried &= full | (w.latency * carry <= to_shed)
        self.served: Floats = np.where(carried, 1.0, share)
        self.latency_ms: Floats = np.where(carried, carry, shed)


def _rarest(probability: Floats, together: float) -> Bools:
    """The least probable states, as many as add up to no more than ``together``, (states,)."""
    order = np.argsort(probability, kind="stable")
    rarest: Bools = np.zeros(len(probability), dtype=bool)
    rarest[order[np.cumsum(probability[order]) <= together]] = True
    return rarest


def unavailable(problem: InventoryProblem) -> Unavailable:
    """Shares of time parts are down, by kind."""
    failures = problem.failures
    return Unavailable(
        gpu=failures.unavailability("gpu"),
        nodes=tuple(
            1 - (1 - failures.unavailability("node")) / (1 + taken * failures.repair_hours.value)
            for taken in taken_away(problem)
        ),
        rack=failures.unavailability("rack"),
        zone=failures.unavailability("zone"),
        stated=failures.unavailability("domain"),
    )


def taken_away(problem: InventoryProblem) -> tuple[float, ...]:
    """How often an hour nodes are taken away: the kinds of nodes that there are."""
    return tuple(sorted({group.interruptions_per_hour for group in problem.groups}))


def _with(value: Unavailable, field: str, share: float) -> Unavailable:
    """The shares with one of them changed."""
    changed: dict[str, Any] = {field: share}
    return replace(value, **changed)


def _with_node(value: Unavailable, kind: int, share: float) -> Unavailable:
    nodes = tuple(share if number == kind else one for number, one in enumerate(value.nodes))
    return replace(value, nodes=nodes)
