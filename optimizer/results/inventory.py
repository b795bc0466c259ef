"""The typed results for inventories: pools of engine instances, where each stands, and what failures do to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.results.answer import (
    Change,
    Conflict,
    Metrics,
    ModelRead,
    ObjectiveResult,
    RuleResult,
    Simulation,
    Status,
    Strategy,
    Verification,
)
from optimizer.results.placement import Placement

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem


@dataclass(frozen=True, slots=True)
class PoolPart:
    """Stages of each instance of a pool that stand on one group, and on how many nodes of it."""

    group: str
    stages: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal engine instances on one node group, or each over two of them: ``parts`` in order of the stages.

    ``strategy.data_parallel`` counts all replicas of the pool. ``share`` is the pool's part of all requests, in whole
    thousandths. Rates are requests/s of one instance: planned, the most within every limit (c), the most within its slots (k).
    ``metrics`` are those of one instance at the planned rate, ``availability`` that of one instance.
    """

    parts: tuple[PoolPart, ...]
    strategy: Strategy
    instances: int
    share: float
    planned_rate: float
    capacity: float
    slots_capacity: float
    availability: float
    metrics: Metrics

    @property
    def where(self) -> str:
        """Such as ``h100``, or ``h100 and a100``."""
        return " and ".join(part.group for part in self.parts)


def stage_problems(problem: InventoryProblem, pool: Pool) -> tuple[Problem, ...]:
    """The homogeneous problem in which each stage of a pool's instances is judged. ``docs/inventories.md``, section 2."""
    parts = [(problem.instance_problem(problem.group(part.group), part.nodes), part.stages) for part in pool.parts]
    return tuple(one for one, stages in parts for _ in range(stages))


@dataclass(frozen=True, slots=True)
class LossScenario:
    """The worst losses at one level: the domains lost and what is left."""

    level: str
    count: int
    lost: tuple[str, ...]
    instances_lost: int
    capacity_left: float
    needed: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Steady state of the service. ``docs/inventories.md``, section 5. Hours are None where no outage can happen.

    ``capacity`` lists (requests/s within the slots, probability) from most to least, probabilities of equal capacity added.
    """

    availability: float
    carried: float
    unserved_requests_per_month: float
    hours_between_outages: float | None
    capacity: tuple[tuple[float, float], ...]
    states: int


@dataclass(frozen=True, slots=True)
class RateRange:
    """Whether the choice changes at an end of the range of the failure rates, and to what."""

    end: str
    availability: float
    same_choice: bool
    choice: str


@dataclass(frozen=True, slots=True)
class PoolSimulation:
    """What one replica of a pool saw when its part of a trace was played on it."""

    pool: int
    simulation: Simulation


@dataclass(frozen=True, slots=True)
class InventoryRepair:
    """Changes of the problem file that make an infeasible inventory feasible, least in each.

    ``result`` names verified instances that keep every rule then, few of them; ``solve`` finds the best.
    """

    changes: tuple[Change, ...]
    sentence: str
    result: str


@dataclass(frozen=True, slots=True)
class InventoryAnswer:
    """What ``solve`` found for an inventory, or ``check`` about one with decisions fixed.

    ``objective`` is in whole milliseconds, rounded up; ``objective_exact_ms`` is not rounded. ``check`` states ``feasible`` and the
    ``optimum`` without the fixed decisions beside it, whose bound is then the objective's. ``within`` and ``cut_by``: as in
    ``Answer``, what an infeasible answer speaks of and which limits of the search keep every set of instances out.
    """

    problem: str
    status: Status
    pools: tuple[Pool, ...]
    placement: Placement | None
    objective: ObjectiveResult | None
    objective_exact_ms: float | None
    gpus_used: int
    gpus_free: int
    request_mean_ms: float | None
    tokens_per_s: float | None
    peak_tokens_per_s: float | None
    price_per_hour: float | None
    rules: tuple[RuleResult, ...]
    losses: tuple[LossScenario, ...]
    reliability: Reliability | None
    ranges: tuple[RateRange, ...]
    verification: Verification
    explanation: tuple[str, ...]
    conflicts: tuple[Conflict, ...] = ()
    repairs: tuple[InventoryRepair, ...] = ()
    search_limits: tuple[str, ...] = ()
    within: str | None = None
    cut_by: tuple[str, ...] = ()
    feasible: bool | None = None
    optimum: InventoryAnswer | None = None
    model: ModelRead | None = None
    assumed: tuple[str, ...] = ()
    """What the problem did not state of its hardware and is taken as usual."""
    simulations: tuple[PoolSimulation, ...] = ()
    """Of a trace, one for each pool that could be played."""

    @property
    def label(self) -> str:
        """Short name such as ``2 × TP8·PP1 on h100 + 4 × TP4·PP1 on a100``."""
        return " + ".join(f"{pool.instances} × {instance_label(pool.strategy)} on {pool.where}" for pool in self.pools)


def instance_label(strategy: Strategy) -> str:
    """Short name of one instance's shape, such as ``TP4·PP2``."""
    return f"TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}{strategy.sharing}"
