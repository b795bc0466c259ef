"""Sets of nodes of an inventory for prefill and decode pools: each is searched by itself.

Pools that share nodes are spread over all of a group's, so that a node more can be too many for them: unlike with joint instances
no set rules out another, and every cheaper set is proved not enough by a search of its own.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Literal, cast

from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.joint import joint_inventory
from optimizer.search.common.clock import Clock
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.pools.cluster_solve import columns_on, keeps, rules_on
from optimizer.sweeps.inventory import OnInventory, any_point
from optimizer.sweeps.node_sets import Nodes, NodeSets
from optimizer.sweeps.points import Point, Spec


class PoolNodeSets(NodeSets):
    """Sets of nodes on which pools stand, or joint instances too, alone or beside them, where ``serving`` is any."""

    def least_in_use(self, largest: Nodes) -> int | None:
        """No bound is known: 0."""
        return 0

    def enough(self, nodes: Nodes) -> bool | None:
        """Whether a set keeps every rule; None where it is not known in time."""
        if self._late():
            return None
        problem = self.of(nodes)
        self.tried += 1
        pools = keeps(columns_on(problem), rules_on(problem), Clock(self._left()))
        if pools or problem.serving == "disaggregated":
            return pools
        joint = self._joint(problem)
        return True if joint else None if None in (pools, joint) else self._both(problem)

    def _both(self, problem: InventoryProblem) -> bool | None:
        """Whether joint instances beside pools keep every rule, where neither kind alone does."""
        from optimizer.questions.solve import solve

        answer = cast("OnInventory", solve(problem, time_limit_s=self._left(), repairs=False))
        if answer.objective is not None:
            return True
        return False if answer.status == "infeasible" else None

    def _joint(self, problem: InventoryProblem) -> bool | None:
        plain = joint_inventory(problem)
        found = InventorySolver(plain, Candidates(plain), deadline=self.deadline).any()
        return True if found.best is not None else False if found.status == "infeasible" else None

    def solved(self, nodes: Nodes, index: int, explain: Literal["nothing", "conflict"]) -> tuple[Point, bool]:
        """(the point of a set, whether its verification passed)."""
        from optimizer.questions.solve import solve

        problem = self.of(nodes)
        answer = cast("OnInventory", solve(problem, time_limit_s=self._left(), repairs=False))
        spec = Spec(index, *self.named(nodes))
        return any_point(replace(spec, gpus=problem.gpus), problem, answer), answer.verification.passed

    def _left(self) -> float | None:
        return None if self.deadline is None else max(1.0, self.deadline - time.monotonic())
