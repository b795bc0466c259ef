"""Sets of nodes of an inventory's groups, which of them are enough, and what each costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

from optimizer.facts.inventory import Domain, InventoryProblem
from optimizer.questions.inventory import solve_inventory
from optimizer.results.inventory import InventoryAnswer
from optimizer.search.inventory.candidates import Candidates, KnownTables
from optimizer.search.inventory.master import price_micro
from optimizer.search.inventory.solve import InventorySolver
from optimizer.sweeps.inventory import inventory_point
from optimizer.sweeps.points import Point, Spec
from optimizer.sweeps.recommendation import Least

Nodes = tuple[int, ...]
"""Nodes of each group."""


@dataclass
class NodeSets:
    """Sets of nodes of one inventory, tried one by one; what one proves about others is kept."""

    problem: InventoryProblem
    least: Least
    deadline: float | None

    def __post_init__(self) -> None:
        self._known = KnownTables()
        self._not_enough: list[Nodes] = []
        self.tried = 0

    def cost(self, nodes: Nodes) -> int:
        """GPUs, or price per hour in millionths, of all nodes of a set."""
        each = [
            group.free_gpus * (price_micro(self.problem, number) if self.least == "price" else 1)
            for number, group in enumerate(self.problem.groups)
        ]
        return sum(count * price for count, price in zip(nodes, each, strict=True))

    def of(self, nodes: Nodes) -> InventoryProblem:
        """The inventory with so many nodes; a group without any is not there."""
        groups = tuple(
            group.model_copy(update={"nodes": count})
            for group, count in zip(self.problem.groups, nodes, strict=True)
            if count
        )
        there = {group.name for group in groups}
        domains: list[Domain] = []
        for domain in self.problem.domains:
            left = tuple(name for name in domain.groups if name in there)
            if left:
                domains.append(domain.model_copy(update={"groups": left}))
        return self.problem.model_copy(update={"groups": groups, "domains": tuple(domains)})

    def least_in_use(self, largest: Nodes) -> int | None:
        """What any plan on the largest set uses at least; None where not even that set is enough, 0 where it is not settled."""
        problem = self.of(largest)
        candidates = Candidates(problem, known=self._known)
        candidates.admit()
        solver = InventorySolver(problem, candidates, deadline=self.deadline)
        kind: Literal["gpus", "price"] = "price" if self.least == "price" else "gpus"
        found = solver.any(kind)
        self.tried += 1
        if found.best is None:
            return None if found.status == "infeasible" else 0
        if self._late() or solver.unsettled_ns is not None:
            return 0
        answer_gpus = found.best.plan.gpus(candidates)
        if self.least == "gpus":
            return answer_gpus
        from optimizer.questions.pareto_inventory import used

        return used(problem, candidates, found.best, "price")

    def enough(self, nodes: Nodes) -> bool | None:
        """Whether a set keeps every rule; None where it is not known in time."""
        if any(all(a <= b for a, b in zip(nodes, other, strict=True)) for other in self._not_enough):
            return False
        if self._late():
            return None
        problem = self.of(nodes)
        self.tried += 1
        found = InventorySolver(problem, Candidates(problem, known=self._known), deadline=self.deadline).any()
        if found.best is not None:
            return True
        if found.status != "infeasible":
            return None
        self._not_enough.append(nodes)
        return False

    def solved(self, nodes: Nodes, index: int, explain: Literal["nothing", "conflict"]) -> tuple[Point, bool]:
        """(the point of a set, whether its verification passed)."""
        problem = self.of(nodes)
        left = None if self.deadline is None else max(1.0, self.deadline - time.monotonic())
        answer: InventoryAnswer = solve_inventory(problem, time_limit_s=left, ranges=False, explain=explain)
        changes, gpus, words = self.named(nodes)
        return inventory_point(Spec(index, changes, gpus, words), problem, answer), answer.verification.passed

    def named(self, nodes: Nodes) -> tuple[dict[str, Any], int, str]:
        """Changes of the problem file that a set is, its GPUs, and its words."""
        groups = self.problem.groups
        changes = {f"cluster.{group.name}.nodes": count for group, count in zip(groups, nodes, strict=True)}
        words = ", ".join(f"{group.name} {count}" for group, count in zip(groups, nodes, strict=True) if count)
        return changes, self.of(nodes).gpus, words

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline
