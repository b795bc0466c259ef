"""The report as it reads if it speaks of one group alone: that group's hardware, and the instances that are proposed for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from optimizer.auditing.context import Context
from optimizer.auditing.inventory.plan import GroupPlan
from optimizer.auditing.strategies import Proposed
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import CheckAnswer


@dataclass
class GroupContext(Context):
    """An audit in which everything is of one group. ``share``: its part of all requests; None where it is not known."""

    plan: GroupPlan = field(default_factory=GroupPlan)
    share: float | None = None

    @cached_property
    def strategy(self) -> Proposed | None:
        """What is proposed for the group; DP is named only where the report says how many instances it has."""
        plan = self.plan
        if plan.tp is None or plan.count == 0:
            return None
        named = {"tp", "pp"} | ({"dp"} if plan.count else set())
        return Proposed(plan.tp, plan.pp or 1, plan.count or 1, plan.ep or 1, frozenset(named), plan.line)

    @cached_property
    def costs(self) -> CheckAnswer | None:
        """Costs of the group's instances at the part of the load that they get; None where that part is not known."""
        if self.share is None or self.share <= 0:
            return None
        load = self.problem.workload
        part = load.model_copy(update={"requests_per_s": load.requests_per_s * self.share})
        return GroupContext(
            self.problem.model_copy(update={"workload": part}), self.statements, plan=self.plan
        )._costs_at_load()

    def _costs_at_load(self) -> CheckAnswer | None:
        return super().costs


def group_context(
    problem: InventoryProblem, index: int, plan: GroupPlan, share: float | None, like: Context
) -> GroupContext:
    """The context of one group; ``like`` has the report's statements."""
    group = problem.groups[index]
    return GroupContext(problem.instance_problem(group, group.nodes), like.statements, plan=plan, share=share)
