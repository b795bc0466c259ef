"""A bound below which no choice of instances is, from what nodes are worth: optima proved at any size. ``docs/inventories.md``, section 6.

At a multiplier γ an instance takes w_lat · A · Γ(γ) / demand − gpu_ms · GPUs off the objective. What a node's GPUs take off at most is a
knapsack over the shapes there are; all nodes together bound all choices. An instance over several nodes, or over two groups, is taken
apart into a part on each node with a share of what it takes off: whatever instances do together, their parts can too.

Γ is bounded in two ways. With M requests in progress at a replica, r = E[M / R(M)] and T(r) ≥ E[M] / r, so that Γ is at most the largest
γ · m / R(m) − m, for which no load is solved. Where that decides nothing, mean times at rates do, T rising with the rate.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.float_times import Floats
from optimizer.verify.common.load import chain_length
from optimizer.verify.inventory.availability import parts_touched
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import legal, shapes_on
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instance, Instances, Segment, likeness, pairable
from optimizer.verify.inventory.priced_pairs import Across
from optimizer.verify.inventory.rates import MILLION, memory_slots, rated
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights

_ROUNDING = 1 + 1e-9
_AT_ONCE = 512
_UNSURE = 2
"""Millionths by which a rate found in floats may differ from the exact one."""
_FIRST_POINTS, _FINER, _ROUNDS, _TOLERANCE, _CELLS = 32, 8, 8, 1e-5, 100
_REFINED_AT_ONCE, _MOST_ROUNDS = 12, 40


@dataclass(slots=True)
class _Shape:
    """A shape on one kind of group: nodes, GPUs on each, and what bounds Γ."""

    instance: Instance
    nodes: int
    each: int
    slots: int
    residence: Floats
    quick: dict[float, float] = field(default_factory=dict)
    """Γ by γ as stays bound it, requests/s · ms."""
    gain: dict[float, float] = field(default_factory=dict)
    """The same as mean times at rates bound it."""
    rate: float | None = None
    """k, requests/s, once it is known; 0 for a shape that carries nothing within the limits."""
    capacity: float = 0.0
    """c, requests/s, once it is known."""


def multipliers(families: Sequence[InstanceFamily]) -> list[float]:
    """What a further request/s costs at the planned rates, ms: in the mean, and at each family."""
    slopes = []
    for family in families:
        step = family.planned * 1e-4
        rates = np.array([family.planned - step, min(family.planned + step, family.slots_capacity)])
        h = rates * family.curve.mean_ms(rates)
        slopes.append(float((h[1] - h[0]) / (rates[1] - rates[0])) if rates[1] > rates[0] else float(h[0] / rates[0]))
    shares = [family.instances * family.planned for family in families]
    mean = sum(slope * share for slope, share in zip(slopes, shares, strict=True)) / sum(shares)
    return [mean, *slopes] if len(slopes) > 1 else [mean]


class CheckedPrices:
    """Bounds for one inventory. Groups that an instance cannot tell apart share their shapes."""

    def __init__(
        self, site: CheckedSite, instances: Instances, curves: TimeCurves, fixed: Fixed, budget: Budget | None = None
    ) -> None:
        self._site, self._instances, self._curves, self._fixed = site, instances, curves, fixed
        inventory = self._inventory = site.inventory
        self._weights, self._budget = LoadWeights.of(inventory.objective), budget
        self._demand = float(exact(inventory.workload.requests_per_s))
        self._no_slots = "concurrency" in inventory.search.disabled_rules
        self._up: dict[Hashable, float] = {}
        self._kind: list[Hashable] = [likeness(group) for group in inventory.groups]
        self._largest: dict[Hashable, NodeGroup] = {}
        """Of groups that an instance cannot tell apart, one whose instances may spread over the most nodes."""
        for kind, group in zip(self._kind, inventory.groups, strict=True):
            if kind not in self._largest or group.nodes_together > self._largest[kind].nodes_together:
                self._largest[kind] = group
        self._shapes = {kind: list(_shapes(inventory, instances, one, fixed)) for kind, one in self._largest.items()}
        self._across = Across(inventory, instances, fixed)

    def proves(self, gammas: Sequence[float], least_ms: float) -> bool:
        """Whether no choice of instances has an objective of at most so many milliseconds, for one of the multipliers.

        Raises:
            OutOfTime: the budget is used up.
        """
        w = self._weights
        if w.latency == 0:
            return False
        highest = w.unserved * w.penalty_ms / w.latency if w.unserved else math.inf
        return any(self._at(gamma, least_ms) for gamma in gammas if 0 < gamma <= highest)

    def _at(self, gamma: float, least_ms: float) -> bool:
        for _ in range(_MOST_ROUNDS):
            if self._budget is not None:
                self._budget.spend()
            worth, pieces = self._worth(gamma)
            nodes = sum(group.nodes * float(w[-1]) for group, w in zip(self._inventory.groups, worth, strict=True))
            if self._weights.latency * gamma - nodes * _ROUNDING > least_ms + 1e-6:
                return True
            if not self._refine(gamma, worth, pieces):
                return False
        return False

    def _worth(self, gamma: float) -> tuple[list[Floats], list[dict[int, tuple[float, _Shape | None]]]]:
        """What 0, 1, … GPUs of a node of each group take off at most, ms, and what takes off most on so many of them."""
        groups = self._inventory.groups
        pieces: list[dict[int, tuple[float, _Shape | None]]] = []
        alike: dict[tuple[Hashable, Hashable], dict[int, tuple[float, _Shape | None]]] = {}
        keys = [(kind, self._parts_key(group)) for kind, group in zip(self._kind, groups, strict=True)]
        for key, group in zip(keys, groups, strict=True):
            if key not in alike:
                alike[key] = self._pieces(gamma, group, self._shapes[key[0]])
            pieces.append(alike[key])
        first = {
            key: filled({s: gain for s, (gain, _) in alike[key].items()}, group.free_gpus)
            for key, group in zip(keys, groups, strict=True)
        }
        rent: dict[Hashable, float] = {}
        for key, worth in first.items():
            rent[key[0]] = min(rent.get(key[0], math.inf), _rent(worth))
        over = self._over(gamma, rent)
        if not over:
            return [first[key] for key in keys], pieces
        for both, found in alike.items():
            for size, gain in over.get(both[0], {}).items():
                if gain > found.get(size, (0.0, None))[0]:
                    found[size] = gain, None
        whole = {
            key: filled({s: gain for s, (gain, _) in alike[key].items()}, group.free_gpus)
            for key, group in zip(keys, groups, strict=True)
        }
        return [whole[key] for key in keys], pieces

    def _parts_key(self, group: NodeGroup) -> Hashable:
        """Equal for groups whose instances spread over as many nodes and touch equally many racks and wider parts of each level."""
        return (
            group.nodes_together,
            group.rack_of(0) is None,
            tuple(sorted(level for level, _ in self._site.wide(group))),
        )

    def _pieces(
        self, gamma: float, group: NodeGroup, shapes: Sequence[_Shape]
    ) -> dict[int, tuple[float, _Shape | None]]:
        found: dict[int, tuple[float, _Shape | None]] = {}
        for shape in shapes:
            if shape.nodes > group.nodes_together:
                continue
            gain = self._gain(gamma, group, shape) / shape.nodes
            if gain > found.get(shape.each, (0.0, None))[0]:
                found[shape.each] = gain, shape
        return found

    def _gain(self, gamma: float, group: NodeGroup, shape: _Shape) -> float:
        """What an instance takes off at most, ms."""
        most = shape.gain.get(gamma)
        if most is None:
            most = 0.0 if shape.rate == 0 else self._quick(gamma, shape)
        w = self._weights
        up = self._availability(group, shape.instance) if w.unserved else 1.0
        return w.latency * up * most / self._demand - w.gpu_ms * shape.instance.gpus

    def _quick(self, gamma: float, shape: _Shape) -> float:
        known = shape.quick.get(gamma)
        if known is None:
            known = shape.quick[gamma] = self._by_stays(gamma, shape)
        return known

    def _by_stays(self, gamma: float, shape: _Shape) -> float:
        m = np.arange(1, len(shape.residence) + 1)
        most = max(0.0, float((m * (gamma / shape.residence - 1)).max()))
        if not self._no_slots:
            # A slot is free for 99 % of the requests only where at most n - 1 are in progress in the mean, each for R(1) at least.
            most = min(most, max(0.0, (shape.slots - 1) * (gamma / float(shape.residence[0]) - 1)))
        return 1000 * most * shape.instance.ranks * _ROUNDING

    def _availability(self, group: NodeGroup, instance: Instance) -> float:
        touched = parts_touched(self._site, (group,), instance)
        key = tuple(touched.items())
        if key not in self._up:
            failures, up = self._inventory.failures, 1.0
            repair = failures.repair_hours.value
            for level, count in touched.items():
                rate = failures.mtbf(level)
                if rate is not None:
                    up *= (rate.value / (rate.value + repair)) ** count
            self._up[key] = up * _ROUNDING
        return self._up[key]

    def _refine(
        self, gamma: float, worth: Sequence[Floats], pieces: Sequence[dict[int, tuple[float, _Shape | None]]]
    ) -> bool:
        """Bound by mean times what the best fillings of a node rest on; whether anything was left to do so."""
        todo: list[_Shape] = []
        for found, whole in zip(pieces, worth, strict=True):
            left = len(whole) - 1
            for size, (gain, shape) in found.items():
                used = any(
                    abs(whole[g - size] + gain - whole[g]) <= 1e-9 * max(1.0, gain) for g in range(size, left + 1)
                )
                if used and shape is not None and gamma not in shape.gain and all(shape is not one for one in todo):
                    todo.append(shape)
        if not todo:
            return False
        unknown = [shape for shape in todo if shape.rate is None]
        for nodes in sorted({shape.nodes for shape in unknown}):
            members = [shape for shape in unknown if shape.nodes == nodes]
            known = {id(one.instance): one for one in rated([shape.instance for shape in members], [0] * len(members))}
            for shape in members:
                one = known.get(id(shape.instance))
                shape.rate = one.slots_capacity / MILLION if one is not None else 0.0
                shape.capacity = (one.capacity - _UNSURE) / MILLION if one is not None else 0.0
        for shape in todo:
            most = self._curve_gain(gamma, shape) if shape.rate else 0.0
            shape.gain[gamma] = min(most, self._quick(gamma, shape))
        return True

    def _curve_gain(self, gamma: float, shape: _Shape) -> float:
        """Γ from mean times at some rates: between two of them r ≤ the upper one and T is at least that at the lower one."""
        curve, top = self._curves.of(shape.instance), shape.rate or 0.0
        rates = np.linspace(0, top, _FIRST_POINTS + 1)
        rates[0] = min(1e-6, top)
        means = curve.mean_ms(rates)
        for _ in range(_ROUNDS):
            cells = rates[1:] * (gamma - np.minimum.accumulate(means[::-1])[::-1][:-1])
            attained = max(0.0, float((rates * (gamma - means)).max()))
            worst = np.flatnonzero(cells > attained + _TOLERANCE * max(attained, 1e-6 * gamma))
            if not len(worst):
                break
            worst = worst[np.argsort(-cells[worst])[:_CELLS]]
            inner = rates[worst, None] + (rates[worst + 1] - rates[worst])[:, None] * (np.arange(1, _FINER) / _FINER)
            more = inner.ravel()
            rates, means = np.append(rates, more), np.append(means, curve.mean_ms(more))
            order = np.argsort(rates, kind="stable")
            rates, means = rates[order], means[order]
        cells = rates[1:] * (gamma - np.minimum.accumulate(means[::-1])[::-1][:-1])
        return max(0.0, float(cells.max())) * _ROUNDING

    def _over(self, gamma: float, rent: dict[Hashable, float]) -> dict[Hashable, dict[int, float]]:
        """Parts of pipelines over two groups: kind → GPUs on each node → what a node takes off at most, ms."""
        w, found, seen = self._weights, dict[Hashable, dict[int, float]](), set[Hashable]()
        for i, j in permutations(range(len(self._inventory.groups)), 2):
            kinds = self._kind[i], self._kind[j]
            if kinds in seen or not pairable(self._inventory.groups[i], self._inventory.groups[j]):
                continue
            seen.add(kinds)
            groups = self._largest[kinds[0]], self._largest[kinds[1]]
            for some in self._across.parts(groups, gamma):
                nodes, each = some.nodes, some.each
                # Only pipelines are considered that carry more than their places do otherwise.
                places = zip(kinds, groups, nodes, each, strict=True)
                gain = some.gain(sum(self._otherwise(*place, some.tensor) for place in places) * (1 - 1e-9))
                gpus = sum(q * s for q, s in zip(nodes, each, strict=True))
                whole = w.latency * gain / self._demand - w.gpu_ms * gpus
                if whole <= 0:
                    continue
                prices = [rent[kind] * q * s for kind, q, s in zip(kinds, nodes, each, strict=True)]
                if sum(prices) <= 0:
                    prices = [float(q * s) for q, s in zip(nodes, each, strict=True)]
                for kind, q, s, price in zip(kinds, nodes, each, prices, strict=True):
                    mine = found.setdefault(kind, {})
                    mine[s] = max(mine.get(s, 0.0), whole * price / sum(prices) / q)
        return found

    def _otherwise(self, kind: Hashable, group: NodeGroup, nodes: int, each: int, tensor: int) -> float:
        """What the place of a part carries otherwise at least, requests/s: with one of the shapes whose rates are known."""
        some = group.nvlink_gb_per_s > 0 and group.nvlink_domain_gpus < group.free_gpus
        most = 0.0
        for shape in self._shapes[kind]:
            narrow = some and shape.instance.shape.group.tensor > tensor
            if shape.capacity and not narrow and shape.nodes <= nodes and shape.each <= each:
                times = nodes * (each // shape.each) if shape.nodes == 1 else 1
                most = max(most, times * shape.capacity)
        return most


def filled(pieces: dict[int, float], free: int) -> Floats:
    """The most that parts take off on 0 … ``free`` GPUs of a node, whatever NVLink domains they stand in."""
    worth = np.zeros(free + 1)
    for gpus in range(1, free + 1):
        worth[gpus] = max([worth[gpus - 1], *(worth[gpus - s] + gain for s, gain in pieces.items() if s <= gpus)])
    return worth


def _rent(worth: Floats) -> float:
    """What each GPU of a full node takes off at least, however many go."""
    free = len(worth) - 1
    return min(float(worth[free] - worth[free - gpus]) / gpus for gpus in range(1, free + 1))


def _shapes(inventory: InventoryProblem, instances: Instances, group: NodeGroup, fixed: Fixed) -> Iterator[_Shape]:
    """Shapes that memory and the rules about shapes allow on a group, with the stay of a request by the number in progress."""
    by_nodes: dict[int, list[tuple[Instance, int]]] = {}
    most = group.nodes_together * group.free_gpus
    for shape, nodes in shapes_on(inventory, group, fixed, most):
        if not legal(shape, (Segment(instances.problem(group, nodes), shape.stages),), inventory.search.disabled_rules):
            continue
        instance = instances.of(group, shape)
        slots = memory_slots(instance)
        if slots >= (1 if instance.off("min_batch") else max(1, inventory.requirements.min_batch)):
            by_nodes.setdefault(nodes, []).append((instance, slots))
    for nodes, every in by_nodes.items():
        for start in range(0, len(every), _AT_ONCE):
            members = every[start : start + _AT_ONCE]
            problem, stages = members[0][0].problem, members[0][0].stages
            times = float_times(problem, [one.shape for one, _ in members], stages, chain_length(problem))
            for (instance, slots), residence in zip(members, times.residence, strict=True):
                yield _Shape(instance, nodes, instance.gpus // nodes, slots, residence.copy())
