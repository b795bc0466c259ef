"""The CP-SAT model of several models on one inventory: the counts of each (``search.inventory.master``) over nodes that all of them fill.

Every model keeps its own rules, bounds and losses; what they share are the ways in which nodes are filled. The objective is the
weighted sum of their own, each in whole milliseconds, rounded up, as one model alone counts it.

Other home: ``verify/several/cluster_check.py``; docs/several.md, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import cp_model
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.master import Master, draw_at_most, fill_nodes
from optimizer.search.inventory.plan import Plan
from optimizer.search.several.cluster_nodes import stand_on_nodes

LARGEST_MS = 10**9
"""Of one model, ms per request."""
FINE_NS = 1_000
"""Unit of objectives where whole ms are too coarse."""

Plans = tuple[Plan, ...]
"""Of every model, in order."""


class SharedMaster:
    """Counts of instances of every model; ``goal`` is the weighted objective in ms times thousandths.

    Args:
        everything: take candidates that others beat too, as far as they were widened.
        without: of every model, (place, position) of candidates to leave out.
        unit_ns: in which objectives are counted, rounded up.
    """

    def __init__(
        self,
        problem: ClusterModelsProblem,
        candidates: Sequence[Candidates],
        *,
        everything: bool = False,
        without: Sequence[frozenset[tuple[int, int]]] | None = None,
        unit_ns: int = NS_PER_MS,
    ) -> None:
        self.problem, self._unit_ns = problem, unit_ns
        left_out = without or [frozenset()] * len(problem.models)
        self.model = cp_model.CpModel()
        self.masters = [
            Master(
                served.problem, mine, served.problem.search.disabled_rules, None,
                everything=everything, without=out, model=self.model,
            )
            for served, mine, out in zip(problem.models, candidates, left_out, strict=True)
        ]  # fmt: skip
        for index, group in enumerate(problem.groups):
            fill_nodes(self.model, group, [part for one in self.masters for part in one.parts_on(index)])
        for limit in problem.inventory.power_limits:
            if not any(limit.rule in served.problem.search.disabled_rules for served in problem.models):
                draw_at_most(self.model, problem.inventory, limit, self.masters)
        stand_on_nodes(self.model, self.masters)
        self.values = [self._value(one) for one in self.masters]
        weights = [served.weight_steps for served in problem.models]
        self.goal: Any = sum(weight * value for weight, value in zip(weights, self.values, strict=True))
        self.gpus: Any = sum(one.gpus for one in self.masters)
        self.price: Any = sum(one.price for one in self.masters)

    def _value(self, one: Master) -> Any:
        """The objective of one model, rounded up."""
        largest = LARGEST_MS * (NS_PER_MS // self._unit_ns)
        value = self.model.new_int_var(-largest, largest, "")
        self.model.add(self._unit_ns * value >= one.theta + one.gpus_ns())
        return value

    @property
    def first(self) -> Any:
        """What the preset puts before the objective; None where it puts nothing there."""
        preset = self.problem.objective.preset
        if preset == "throughput":
            pairs = zip(self.problem.models, self.masters, strict=True)
            return -sum(m.weight_steps * m.problem.workload.output_tokens * one.peak for m, one in pairs)
        return {"fewest-gpus": self.gpus, "cheapest": self.price}.get(preset)

    @property
    def spent(self) -> Any:
        """What breaks a tie: the price where every group states one, then the GPUs in use."""
        return self.price * (self.problem.gpus + 1) + self.gpus if self.problem.inventory.priced else self.gpus

    def plans(self, solver: Any) -> Plans:
        """Those of a solution."""
        return tuple(one.plan(solver) for one in self.masters)

    def hint(self, plans: Plans) -> None:
        """Start from plans."""
        self.model.clear_hints()
        for one, plan in zip(self.masters, plans, strict=True):
            wanted = {(entry.place, entry.candidate): entry.count for entry in plan.entries}
            for item in one.items:
                self.model.add_hint(item.count, wanted.get((item.place, item.position), 0))

    def together(self, plans: Plans, goal: int | None) -> None:
        """These plans together are worth at least so much; None: they are not allowed together."""
        other = [literal for one, plan in zip(self.masters, plans, strict=True) for literal in one.different(plan)]
        if goal is None:
            self.model.add_bool_or(other)
            return
        worth = self.model.new_bool_var("")
        self.model.add(self.goal >= goal).only_enforce_if(worth)
        self.model.add_bool_or([*other, worth])

    def gpus_on(self, number: int, group: int) -> Any:
        """GPUs of a group that a model uses."""
        parts = (
            part.gpus * item.count for item in self.masters[number].items for on, part in item.parts if on == group
        )
        return sum(parts)
