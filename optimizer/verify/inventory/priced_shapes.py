"""Shapes on one kind of group with what bounds Γ(γ), what an instance takes off the objective at a multiplier γ at most.

With M requests in progress at a replica, r = E[M / R(M)] and T(r) ≥ E[M] / r, so that Γ is at most the largest γ · m / R(m) − m, for
which no load is solved. Where that decides nothing, mean times at rates do, T rising with the rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.float_times import Floats
from optimizer.verify.common.load import chain_length
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import Legal, shapes_on
from optimizer.verify.inventory.float_times import TimeCurve
from optimizer.verify.inventory.instance import Instance, Instances
from optimizer.verify.inventory.rates import MILLION, memory_slots, rated

ROUNDING = 1 + 1e-9
_AT_ONCE = 512
_UNSURE = 2
"""Millionths by which a rate found in floats may differ from the exact one."""
_FIRST_POINTS, _FINER, _ROUNDS, _CELLS = 32, 8, 8, 100
ROUGH, FINE = 2e-3, 1e-5
"""Relative distances to what is attained at which refining ends: where something is far off, and where it decides."""


@dataclass(slots=True)
class PricedShape:
    """A shape on one kind of group: nodes, GPUs on each, and what bounds Γ."""

    instance: Instance
    nodes: int
    each: int
    slots: int
    completes: float
    """Requests/s that an instance completes at most with these slots."""
    stays: Floats
    """Milliseconds of a request by how many are in progress."""
    quick: dict[float, float] = field(default_factory=dict)
    """Γ by γ as stays bound it, requests/s · ms."""
    gain: dict[float, tuple[float, float]] = field(default_factory=dict)
    """The same as mean times at rates bound it, and how finely these were looked at."""
    rates: Floats = field(default_factory=lambda: np.zeros(0))
    means: Floats = field(default_factory=lambda: np.zeros(0))
    """Mean times at some rates, for any γ."""
    rate: float | None = None
    """k, requests/s, once it is known; 0 for a shape that carries nothing within the limits."""
    capacity: float = 0.0
    """c, requests/s, once it is known."""

    def at_most(self, gamma: float, *, no_slots: bool) -> float:
        """Γ as bounded so far, requests/s · ms.

        Args:
            no_slots: more requests may be in progress than there are slots.
        """
        known = self.gain.get(gamma)
        if known is not None:
            return known[0]
        if self.rate == 0:
            return 0.0
        if gamma not in self.quick:
            self.quick[gamma] = self._by_stays(gamma, no_slots)
        return self.quick[gamma]

    def _by_stays(self, gamma: float, no_slots: bool) -> float:
        m = np.arange(1, len(self.stays) + 1)
        most = max(0.0, float((m * (gamma / self.stays - 1)).max()))
        if not no_slots:
            # A slot is free for 99 % of the requests only where at most n - 1 are in progress in the mean, each for R(1) at least.
            most = min(most, max(0.0, (self.slots - 1) * (gamma / float(self.stays[0]) - 1)))
        return 1000 * most * self.instance.ranks * ROUNDING

    def coarse(self, gamma: float, tolerance: float) -> bool:
        """Whether Γ is not yet bounded so finely by mean times."""
        known = self.gain.get(gamma)
        return known is None or known[1] > tolerance

    def refine(self, gamma: float, curve: TimeCurve, tolerance: float, *, no_slots: bool) -> None:
        """Bound Γ by mean times as well; the rates are known."""
        most = self._by_means(gamma, curve, tolerance) if self.rate else 0.0
        self.gain[gamma] = min(most, self.at_most(gamma, no_slots=no_slots)), tolerance

    def _by_means(self, gamma: float, curve: TimeCurve, tolerance: float) -> float:
        """Γ from mean times at some rates: between two of them r ≤ the upper one and T is at least that at the lower one."""
        if not len(self.rates):
            top = self.rate or 0.0
            self.rates = np.linspace(0, top, _FIRST_POINTS + 1)
            self.rates[0] = min(1e-6, top)
            self.means = curve.mean_ms(self.rates)
        for _ in range(_ROUNDS):
            cells = self._cells(gamma)
            attained = max(0.0, float((self.rates * (gamma - self.means)).max()))
            worst = np.flatnonzero(cells > attained + tolerance * max(attained, 1e-6 * gamma))
            if not len(worst):
                break
            worst = worst[np.argsort(-cells[worst])[:_CELLS]]
            width = self.rates[worst + 1] - self.rates[worst]
            more = (self.rates[worst, None] + width[:, None] * (np.arange(1, _FINER) / _FINER)).ravel()
            rates, means = np.append(self.rates, more), np.append(self.means, curve.mean_ms(more))
            order = np.argsort(rates, kind="stable")
            self.rates, self.means = rates[order], means[order]
        return max(0.0, float(self._cells(gamma).max())) * ROUNDING

    def _cells(self, gamma: float) -> Floats:
        cells: Floats = self.rates[1:] * (gamma - np.minimum.accumulate(self.means[::-1])[::-1][:-1])
        return cells


def know_rates(shapes: Sequence[PricedShape]) -> None:
    """What instances carry, for those of which it is not known."""
    unknown = [shape for shape in shapes if shape.rate is None]
    for nodes in sorted({shape.nodes for shape in unknown}):
        members = [shape for shape in unknown if shape.nodes == nodes]
        known = {id(one.instance): one for one in rated([shape.instance for shape in members], [0] * len(members))}
        for shape in members:
            one = known.get(id(shape.instance))
            shape.rate = one.slots_capacity / MILLION if one is not None else 0.0
            shape.capacity = (one.capacity - _UNSURE) / MILLION if one is not None else 0.0


def priced_shapes(
    inventory: InventoryProblem,
    instances: Instances,
    group: NodeGroup,
    fixed: Fixed,
    budget: Budget | None = None,
) -> Iterator[PricedShape]:
    """Shapes that memory and the rules about shapes allow on a group.

    Raises:
        OutOfTime: the budget is used up.
    """
    by_nodes: dict[int, list[tuple[Instance, int]]] = {}
    most, may_stand = group.nodes_together * group.free_gpus, Legal(inventory, instances, group)
    for shape, nodes in shapes_on(inventory, group, fixed, most):
        if budget is not None:
            budget.spend()
        if not may_stand(shape, nodes):
            continue
        instance = instances.of(group, shape)
        slots = memory_slots(instance)
        if slots >= (1 if instance.off("min_batch") else max(1, inventory.requirements.min_batch)):
            by_nodes.setdefault(nodes, []).append((instance, slots))
    for nodes, every in by_nodes.items():
        for start in range(0, len(every), _AT_ONCE):
            members = every[start : start + _AT_ONCE]
            problem, stages = members[0][0].problem, members[0][0].stages
            length = chain_length(problem)
            times = float_times(problem, [one.shape for one, _ in members], stages, length)
            for (instance, slots), stays in zip(members, times.residence, strict=True):
                upto = length if instance.off("request_rate") else min(slots, length)
                completes = 1000 * instance.ranks * float((np.arange(1, upto + 1) / stays[:upto]).max()) * ROUNDING
                yield PricedShape(instance, nodes, instance.gpus // nodes, slots, completes, stays.copy())
