"""What an answer with joint instances beside pools on an inventory consists of. ``docs/disaggregated.md``, section 14."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.facts.cluster_side_by_side import ClusterSplit, split_with
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.answer import Conflict, ModelRead, ObjectiveResult, Repair, Status, Verification
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.side_by_side import SideBySideMetrics


@dataclass(frozen=True, slots=True)
class GroupDivided:
    """How a group of nodes is shared out."""

    group: str
    """Name of the group."""
    joint_nodes: int
    """Nodes with GPUs of the joint instances, the first of the group; a single node may be of both parts."""
    joint_gpus: int
    """Free GPUs of the joint instances, the first of a single node."""
    pools_nodes: int
    """Nodes with GPUs of the pools, the last of the group."""
    pools_gpus: int
    """Free GPUs of the pools."""


@dataclass(frozen=True, slots=True)
class ClusterSideBySideAnswer:
    """Joint instances for some of the requests of an inventory, and pools for the rest."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal``: no split is better, nor either kind alone; ``feasible``: that is not proved."""
    share: float
    """Of the requests, what the joint instances are sent."""
    groups: tuple[GroupDivided, ...]
    """How each group is shared out."""
    joint: InventoryAnswer
    """The joint instances for their share on their part, proved best and verified by themselves."""
    pools: ClusterPoolsAnswer
    """The same of the pools."""
    metrics: SideBySideMetrics
    """Of both together."""
    objective: ObjectiveResult
    """Of both together, ms per request; terms are what either part adds. The joint part is counted in whole ms, rounded up."""
    verification: Verification
    """What the independent recomputation says of the sum and of every other split."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    price_per_hour: float | None = None
    """Price of the GPUs in use; None where one has no price."""
    conflicts: tuple[Conflict, ...] = ()
    """Always empty: what is proposed is feasible."""
    repairs: tuple[Repair, ...] = ()
    """Always empty."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    feasible: bool | None = None
    """Of ``check``: whether both parts keep every rule; None where nothing was fixed."""
    optimum: InventoryAnswer | ClusterPoolsAnswer | ClusterSideBySideAnswer | None = None
    """Of ``check``: the best of all three kinds."""
    model: ModelRead | None = None
    """What was read of the model."""

    @property
    def label(self) -> str:
        """Short name such as ``20% to 1 × TP2·PP1 on a, 80% to prefill 2 × TP1 on b + decode 1 × TP2 on b``."""
        return f"{self.share:.0%} to {self.joint.label}, {1 - self.share:.0%} to {self.pools.label}"

    def split_of(self, problem: InventoryProblem) -> ClusterSplit:
        """What the joint instances have of the inventory that this answers."""
        return split_with(problem, round(self.share * TENTHS), tuple(one.joint_gpus for one in self.groups))

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return self.joint.gpus_used + (self.pools.strategy.gpus if self.pools.strategy is not None else 0)
