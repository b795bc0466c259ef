"""A bound below which no choice of instances is, from what nodes are worth: optima proved at any size. ``docs/inventories.md``, section 6.

At a multiplier γ an instance takes w_lat · A · Γ(γ) / demand − gpu_ms · GPUs off the objective. What a node's GPUs take off at most is a
knapsack over the shapes there are; all nodes together bound all choices. An instance over several nodes, or over two groups, is taken
apart into a part on each node with a share of what it takes off: whatever instances do together, their parts can too. Where an instance
takes nodes whole it is left whole: nodes that stand together are a knapsack over the instances that do, and nodes by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from optimizer.facts.inventory import NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.float_times import Floats
from optimizer.verify.inventory.availability import everything_up, parts_touched
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instance, Instances, likeness, pairable
from optimizer.verify.inventory.left_out import AcrossLeftOut, ShapeOn
from optimizer.verify.inventory.multiplier import Multiplier
from optimizer.verify.inventory.priced_pairs import Across
from optimizer.verify.inventory.priced_shapes import FINE, ROUGH, ROUNDING, PricedShape, know_rates, priced_shapes
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spared import spared
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights
from optimizer.verify.inventory.worth import NodeWorth, filled, rests_on, worth

_MOST_ROUNDS = 40
_UNSURE_MS = 1e-6
_Best = dict[int, tuple[float, PricedShape | None]]
"""By GPUs of a node or by whole nodes: what is taken off at most, ms, and the shape (None: part of a pipeline over two groups)."""


@dataclass(frozen=True, slots=True)
class PricedGroup:
    """A group at one multiplier."""

    group: NodeGroup
    kind: Hashable
    pieces: _Best
    spans: _Best
    worth: NodeWorth


_PairKey = tuple[tuple[Hashable, Hashable], int, tuple[int, int], tuple[int, int]]
"""Kinds of two groups, TP degree, nodes of either part and GPUs on each of them."""


class _AcrossLeftOut:
    """Tells which pipelines over two groups take off less than what their GPUs are worth otherwise, by more than so many milliseconds."""

    def __init__(self, groups: Sequence[PricedGroup], gains: Mapping[_PairKey, float], slack: float) -> None:
        self._groups, self._gains, self._slack = groups, gains, slack

    def __call__(
        self, groups: tuple[NodeGroup, NodeGroup], tensor: int, nodes: tuple[int, int], each: tuple[int, int]
    ) -> bool:
        """Whether those of a TP degree with parts on so many nodes and GPUs of each are left out."""
        kinds = likeness(groups[0]), likeness(groups[1])
        given_up = sum(
            min((one.worth.given_up(q, s) for one in self._groups if one.kind == kind), default=math.inf)
            for kind, q, s in zip(kinds, nodes, each, strict=True)
        )
        gain = self._gains.get((kinds, tensor, nodes, each), 0.0) * ROUNDING
        return given_up / ROUNDING - gain > self._slack


def _coarse(shape: PricedShape, gamma: Multiplier, tolerance: float) -> bool:
    """Whether Γ is not yet bounded so finely by mean times, at either multiplier."""
    return any(shape.coarse(one, tolerance) for one in gamma.both)


def _gains(best: _Best) -> dict[int, float]:
    return {size: gain for size, (gain, _) in best.items()}


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
        self._up: dict[tuple[str, tuple[int, ...], int], float] = {}
        self._kind: list[Hashable] = [likeness(group) for group in inventory.groups]
        self._largest: dict[Hashable, NodeGroup] = {}
        """Of groups that an instance cannot tell apart, one whose instances may spread over the most nodes."""
        for kind, group in zip(self._kind, inventory.groups, strict=True):
            if kind not in self._largest or group.nodes_together > self._largest[kind].nodes_together:
                self._largest[kind] = group
        everything = {
            kind: list(priced_shapes(inventory, instances, one, fixed, budget)) for kind, one in self._largest.items()
        }
        self._shapes = spared(site, self._kind, everything)
        kept = {kind: {id(shape) for shape in some} for kind, some in self._shapes.items()}
        self.left_out = {
            (kind, shape.instance.shape)
            for kind, every in everything.items()
            for shape in every
            if id(shape) not in kept[kind]
        }
        """Kinds of groups and shapes that no choice contains that is as good as what was asked about."""
        self.left_out_after: set[ShapeOn] = set()
        """The same where pipelines over two groups may stand, once what else their places carry is known."""
        self.across_left_out: AcrossLeftOut | None = None
        """Pipelines over two groups of the same sort."""
        self._taken: dict[tuple[Multiplier, Hashable], dict[int, float]] = {}
        """At a multiplier, on groups that are alike: what shapes take off at most, ms, until more is known of them."""
        self._looked_at = False
        self._pairs = True
        self._often = float(everything_up(site))
        self._across = Across(inventory, instances, fixed)

    def within_groups(self) -> CheckedPrices:
        """The same for instances that each stand on one group; what is known of shapes is shared."""
        other = copy(self)
        other._pairs = False
        return other

    def shapes_on(self, group: int) -> Sequence[PricedShape]:
        """Shapes that may stand on a group, by its number."""
        most = self._inventory.groups[group].nodes_together
        return [shape for shape in self._shapes[self._kind[group]] if shape.nodes <= most]

    @property
    def open_shapes(self) -> int:
        """Shapes, on each kind of group, that are not left out."""
        return sum(
            (kind, shape.instance.shape) not in self.left_out for kind, every in self._shapes.items() for shape in every
        )

    def proves(self, gammas: Sequence[float], least_ms: float) -> bool:
        """Whether no choice of instances has an objective of at most so many milliseconds, for one of the multipliers.

        Raises:
            OutOfTime: the budget is used up.
        """
        both = [one for one in map(self._multiplier, gammas) if one is not None]
        return any(self._at(gamma, least_ms) for gamma in both)

    def refined(
        self, gamma: float, *, every_size: bool, tolerances: Sequence[float] = (ROUGH, FINE)
    ) -> tuple[float, list[PricedGroup]] | None:
        """(the bound of no instances, ms; what groups are worth), what is worth most known finely; None: there is no bound.

        Args:
            every_size: on any GPUs of a node, and not only in the best fillings of the groups.
            tolerances: how finely, one after the other.

        Raises:
            OutOfTime: the budget is used up.
        """
        both = self._multiplier(gamma)
        if both is None:
            return None
        groups = self._worth(both)
        for tolerance in tolerances:
            for _ in range(_MOST_ROUNDS):
                if every_size:
                    best = [shape for one in groups for some in (one.pieces, one.spans) for _, shape in some.values()]
                    todo = {id(one): one for one in best if one is not None and _coarse(one, both, tolerance)}
                    self._know(both, list(todo.values()), tolerance)
                    coarse = bool(todo)
                else:
                    coarse = self._refine(both, groups, tolerance)
                if not coarse:
                    break
                groups = self._worth(both)
        return self._weights.latency * both.mean, groups

    def _multiplier(self, gamma: float) -> Multiplier | None:
        """With what it is where requests may be shed; None where it bounds nothing."""
        w = self._weights
        if w.latency == 0 or gamma <= 0:
            return None
        highest = w.unserved * w.penalty_ms / w.latency if w.unserved else math.inf
        return Multiplier(gamma, min(gamma, highest), self._often)

    def _at(self, gamma: Multiplier, least_ms: float) -> bool:
        for _ in range(_MOST_ROUNDS):
            if self._budget is not None:
                self._budget.spend()
            groups = self._worth(gamma)
            if self._bound(gamma, groups) > least_ms + _UNSURE_MS:
                return True
            if not any(self._refine(gamma, groups, tolerance) for tolerance in (ROUGH, FINE)):
                self._leave_out(gamma, groups, least_ms)
                return False
        return False

    def _bound(self, gamma: Multiplier, groups: Sequence[PricedGroup]) -> float:
        return self._weights.latency * gamma.mean - sum(one.worth.total for one in groups) * ROUNDING

    def _worth(self, gamma: Multiplier) -> list[PricedGroup]:
        """What each group is worth at most, ms, and what is worth most on so many GPUs of a node or on so many nodes."""
        groups = self._inventory.groups
        keys = [(kind, self._parts_key(group)) for kind, group in zip(self._kind, groups, strict=True)]
        alike = dict[tuple[Hashable, Hashable], tuple[_Best, _Best]]()
        for key, group in zip(keys, groups, strict=True):
            if key not in alike:
                alike[key] = self._best(gamma, group, self._shapes[key[0]], self._taken.setdefault((gamma, key), {}))
        rent: dict[Hashable, float] = {}
        for key, group in zip(keys, groups, strict=True):
            mine = _rent(filled(_gains(alike[key][0]), group.free_gpus))
            rent[key[0]] = min(rent.get(key[0], math.inf), mine)
        over = self._over(gamma.up, rent)
        for both, (pieces, _) in alike.items():
            for size, gain in over.get(both[0], {}).items():
                if gain > pieces.get(size, (0.0, None))[0]:
                    pieces[size] = gain, None
        found = dict[tuple[Hashable, int, int], NodeWorth]()
        result = []
        for key, group in zip(keys, groups, strict=True):
            pieces, spans = alike[key]
            again = key, group.nodes, group.racks or 1
            if again not in found:
                found[again] = worth(group, _gains(pieces), _gains(spans))
            result.append(PricedGroup(group, key[0], pieces, spans, found[again]))
        return result

    def _parts_key(self, group: NodeGroup) -> Hashable:
        """Equal for groups whose instances spread over as many nodes and touch equally many racks and wider parts of each level."""
        return (
            group.nodes_together,
            group.rack_of(0) is None,
            group.interruptions_per_hour,
            tuple(sorted(level for level, _ in self._site.wide(group))),
        )

    def _best(
        self, gamma: Multiplier, group: NodeGroup, shapes: Sequence[PricedShape], known: dict[int, float]
    ) -> tuple[_Best, _Best]:
        """(What is worth most on so many GPUs of a node, what takes so many nodes whole and is worth most).

        Args:
            known: by the identity of a shape, what it takes off here as far as it is known.
        """
        pieces: _Best = {}
        spans: _Best = {}
        for shape in shapes:
            if shape.nodes > group.nodes_together:
                continue
            gain = known.get(id(shape))
            if gain is None:
                gain = known[id(shape)] = self._gain(gamma, group, shape)
            whole = shape.nodes > 1 and shape.each == group.free_gpus
            size, best = (shape.nodes, spans) if whole else (shape.each, pieces)
            gain = gain if whole else gain / shape.nodes
            if gain > best.get(size, (0.0, None))[0]:
                best[size] = gain, shape
        return pieces, spans

    def _gain(self, gamma: Multiplier, group: NodeGroup, shape: PricedShape) -> float:
        """What an instance takes off at most, ms."""
        most = shape.at_most(gamma.up, no_slots=self._no_slots)
        w = self._weights
        up = self._availability(group, shape.instance) if w.unserved else 1.0
        while_down = shape.at_most(gamma.down, no_slots=self._no_slots)
        return w.latency * gamma.in_states(up, most, while_down) / self._demand - w.gpu_ms * shape.instance.gpus

    def _availability(self, group: NodeGroup, instance: Instance) -> float:
        key = group.name, instance.nodes, instance.gpus
        if key not in self._up:
            up, repair = 1.0, self._inventory.failures.repair_hours.value
            for level, count in parts_touched(self._site, (group,), instance).items():
                rate = self._inventory.mtbf(level)
                if rate is not None:
                    up *= (rate.value / (rate.value + repair)) ** count
            self._up[key] = up * ROUNDING
        return self._up[key]

    def _refine(self, gamma: Multiplier, groups: Sequence[PricedGroup], tolerance: float) -> bool:
        """Bound by mean times what the best fillings of the groups rest on; whether anything was left to do so."""
        todo: dict[int, PricedShape] = {}
        for one in groups:
            used_pieces, used_spans = rests_on(one.worth, _gains(one.pieces), _gains(one.spans))
            used = [one.pieces[s][1] for s in used_pieces] + [one.spans[q][1] for q in used_spans]
            todo.update({id(shape): shape for shape in used if shape is not None and _coarse(shape, gamma, tolerance)})
        self._know(gamma, list(todo.values()), tolerance)
        return bool(todo)

    def _leave_out(self, gamma: Multiplier, groups: Sequence[PricedGroup], least_ms: float) -> None:
        """Note the shapes whose instances alone raise the bound above so many milliseconds."""
        if self._looked_at:
            return
        self._looked_at = True
        slack = least_ms + _UNSURE_MS - self._bound(gamma, groups)
        left_out = self.left_out
        if any(pairable(one, other) for one, other in combinations(self._inventory.groups, 2)):
            # What else may stand in a place decides which pipelines over two groups are considered.
            left_out = self.left_out_after
            self.across_left_out = _AcrossLeftOut(groups, self._gains_across(gamma.up), slack)
        for kind, every in self._shapes.items():
            mine = [one for one in groups if one.kind == kind]
            open_shapes = [shape for shape in every if not self._costs_more(gamma, mine, shape, slack)]
            self._know(gamma, [shape for shape in open_shapes if _coarse(shape, gamma, ROUGH)], ROUGH)
            kept = {id(shape) for shape in open_shapes if not self._costs_more(gamma, mine, shape, slack)}
            left_out |= {(kind, one.instance.shape) for one in every if id(one) not in kept}

    def _costs_more(self, gamma: Multiplier, groups: Sequence[PricedGroup], shape: PricedShape, slack: float) -> bool:
        """Whether an instance takes off less than what its GPUs are worth otherwise, by more than so many milliseconds, on every group."""
        for one in groups:
            if shape.nodes <= one.group.nodes_together:
                gain = self._gain(gamma, one.group, shape) * ROUNDING
                if one.worth.given_up(shape.nodes, shape.each) / ROUNDING - gain <= slack:
                    return False
        return True

    def _know(self, gamma: Multiplier, shapes: Sequence[PricedShape], tolerance: float) -> None:
        know_rates(shapes)
        for shape in shapes:
            for known in self._taken.values():
                known.pop(id(shape), None)
            if self._budget is not None:
                self._budget.spend()
            for one in gamma.both:
                if shape.coarse(one, tolerance):
                    shape.refine(one, self._curves.of(shape.instance), tolerance, no_slots=self._no_slots)

    def _over(self, gamma: float, rent: dict[Hashable, float]) -> dict[Hashable, dict[int, float]]:
        """Parts of pipelines over two groups: kind → GPUs on each node → what a node takes off at most, ms."""
        found = dict[Hashable, dict[int, float]]()
        for (kinds, _, nodes, each), whole in self._gains_across(gamma).items():
            prices = [rent[kind] * q * s for kind, q, s in zip(kinds, nodes, each, strict=True)]
            if sum(prices) <= 0:
                prices = [float(q * s) for q, s in zip(nodes, each, strict=True)]
            for kind, q, s, price in zip(kinds, nodes, each, prices, strict=True):
                mine = found.setdefault(kind, {})
                mine[s] = max(mine.get(s, 0.0), whole * price / sum(prices) / q)
        return found

    def _gains_across(self, gamma: float) -> dict[_PairKey, float]:
        """What pipelines over two groups take off at most, ms; those that take nothing off are left out."""
        w, found, seen = self._weights, dict[_PairKey, float](), set[Hashable]()
        otherwise = dict[tuple[Hashable, int, int, int], float]()
        for i, j in permutations(range(len(self._inventory.groups) if self._pairs else 0), 2):
            kinds = self._kind[i], self._kind[j]
            if kinds in seen or not pairable(self._inventory.groups[i], self._inventory.groups[j]):
                continue
            seen.add(kinds)
            groups = self._largest[kinds[0]], self._largest[kinds[1]]
            for some in self._across.parts(groups, gamma):
                nodes, each = some.nodes, some.each
                # Only pipelines are considered that carry more than their places do otherwise.
                carried = 0.0
                for kind, group, q, s in zip(kinds, groups, nodes, each, strict=True):
                    place = kind, q, s, some.tensor
                    if place not in otherwise:
                        otherwise[place] = self._otherwise(kind, group, q, s, some.tensor)
                    carried += otherwise[place]
                gain = some.gain(carried * (1 - 1e-9))
                gpus = sum(q * s for q, s in zip(nodes, each, strict=True))
                whole = w.latency * gain / self._demand - w.gpu_ms * gpus
                key = kinds, some.tensor, nodes, each
                if whole > 0:
                    found[key] = max(found.get(key, 0.0), whole)
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


def _rent(worth: Floats) -> float:
    """What each GPU of a full node takes off at least, however many go."""
    free = len(worth) - 1
    return min(float(worth[free] - worth[free - gpus]) / gpus for gpus in range(1, free + 1))
