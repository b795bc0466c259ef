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
    """Name of the node group."""
    stages: int
    """Stages of each instance that stand on it."""
    nodes: int
    """Nodes of it that each instance spans."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal engine instances on one node group, or each over two of them: ``parts`` in order of the stages.

    ``strategy.data_parallel`` counts all replicas of the pool. ``share`` is the pool's part of all requests, in whole
    thousandths. Rates are requests/s of one instance: planned, the most within every limit (c), the most within its slots (k).
    ``metrics`` are those of one instance at the planned rate, ``availability`` that of one instance.
    """

    parts: tuple[PoolPart, ...]
    """Where each instance stands, in order of the stages."""
    strategy: Strategy
    """Of one instance but for its DP, which counts all replicas of the pool."""
    instances: int
    """Engine instances."""
    share: float
    """Part of all requests, 0 to 1."""
    planned_rate: float
    """Requests/s sent to one instance."""
    capacity: float
    """c: most requests/s of one instance within every limit."""
    slots_capacity: float
    """k: most requests/s of one instance within its slots."""
    availability: float
    """Share of the time that one instance is up."""
    metrics: Metrics
    """Of one instance at its planned rate."""

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
    """``gpu``, ``node``, ``rack`` or a wider domain."""
    count: int
    """Domains of it that are lost."""
    lost: tuple[str, ...]
    """Names of the domains whose loss is the worst."""
    instances_lost: int
    """Instances that it takes."""
    capacity_left: float
    """Requests/s within every limit of the instances left."""
    needed: float
    """Requests/s that have to be left; the whole demand where nothing is asked of the level."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Steady state of the service. ``docs/inventories.md``, section 5. Hours are None where no outage can happen.

    ``capacity`` lists (requests/s within the slots, probability) from most to least, probabilities of equal capacity added.
    """

    availability: float
    """Share of requests served."""
    carried: float
    """Share of the time in which the whole demand is carried."""
    unserved_requests_per_month: float
    """Requests not served in a month."""
    hours_between_outages: float | None
    """Mean hours that the whole demand is carried from one outage to the next; None: outages are too rare to be timed."""
    capacity: tuple[tuple[float, float], ...]
    """(requests/s within the slots, probability), most first."""
    states: int
    """Failure states that were counted."""


@dataclass(frozen=True, slots=True)
class RateRange:
    """Whether the choice changes at an end of the range of the failure rates, and to what."""

    end: str
    """``low`` (failures most frequent) or ``high`` (rarest) of the stated range."""
    availability: float
    """Share of requests served there."""
    same_choice: bool
    """Whether the same instances are best there."""
    choice: str
    """Short name of what is best there."""


@dataclass(frozen=True, slots=True)
class PoolSimulation:
    """What one replica of a pool saw when its part of a trace was played on it."""

    pool: int
    """Position of the pool in the answer, from 0."""
    simulation: Simulation
    """Of one replica at its part of the trace."""


@dataclass(frozen=True, slots=True)
class InventoryRepair:
    """Changes of the problem file that make an infeasible inventory feasible, least in each.

    ``result`` names verified instances that keep every rule then, few of them; ``solve`` finds the best.
    """

    changes: tuple[Change, ...]
    """What to set, all together."""
    sentence: str
    """The changes in words."""
    result: str
    """Short name of instances that keep every rule then."""


@dataclass(frozen=True, slots=True)
class LeastObjective:
    """The set of instances with the least objective, where the answer is one within ``objective.tolerance`` of it that spends less."""

    value_ms: int
    """Its objective in whole ms per request, rounded up."""
    gpus_used: int
    """GPUs that it uses."""
    price_per_hour: float | None
    """Of these GPUs; None: not every price is known."""
    label: str
    """Short name of it."""


@dataclass(frozen=True, slots=True)
class InventoryAnswer:
    """What ``solve`` found for an inventory, or ``check`` about one with decisions fixed.

    ``objective`` is in whole milliseconds, rounded up; ``objective_exact_ms`` is not rounded. ``check`` states ``feasible`` and the
    ``optimum`` without the fixed decisions beside it, whose bound is then the objective's. ``within`` and ``cut_by``: as in
    ``Answer``, what an infeasible answer speaks of and which limits of the search keep every set of instances out.
    """

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    pools: tuple[Pool, ...]
    """Equal instances together; empty where there are none."""
    placement: Placement | None
    """Every instance with its GPUs."""
    objective: ObjectiveResult | None
    """In whole ms per request."""
    objective_exact_ms: float | None
    """Not rounded, ms per request."""
    gpus_used: int
    """GPUs in use."""
    gpus_free: int
    """Free GPUs that the inventory has, those in use among them."""
    request_mean_ms: float | None
    """Arrival to last token with everything up, mean, ms."""
    tokens_per_s: float | None
    """Output tokens/s at the stated request rate."""
    peak_tokens_per_s: float | None
    """Output tokens/s with every sequence slot taken, whatever the latencies."""
    price_per_hour: float | None
    """Of the GPUs in use, in the currency of the stated prices; None: not every price is known."""
    rules: tuple[RuleResult, ...]
    """The rules on all instances together."""
    losses: tuple[LossScenario, ...]
    """The worst losses at each level."""
    reliability: Reliability | None
    """Steady state; None without instances."""
    ranges: tuple[RateRange, ...]
    """The ends of the range of the failure rates."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    conflicts: tuple[Conflict, ...] = ()
    """Why nothing is feasible; empty where something is."""
    repairs: tuple[InventoryRepair, ...] = ()
    """What would make it feasible."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    within: str | None = None
    """``searched space``, or None: every layout that an engine could run."""
    cut_by: tuple[str, ...] = ()
    """Limits of the search, as fields of the problem file, that keep every solution out."""
    feasible: bool | None = None
    """Of ``check``: whether every rule is kept; None: nothing was fixed, or not settled."""
    optimum: InventoryAnswer | None = None
    """Of ``check``: the answer without the fixed decisions."""
    model: ModelRead | None = None
    """What was read of the model."""
    assumed: tuple[str, ...] = ()
    """What the problem did not state of its hardware and is taken as usual."""
    price_per_million_output_tokens: float | None = None
    """price_per_hour over the million output tokens that are served in an hour at the demand, failures counted."""
    kilowatts_at_most: float | None = None
    """Board power of the GPUs in use, as vendors state it, kW; None: not of all known."""
    kwh_per_million_output_tokens_at_most: float | None = None
    """That power for as long as a million output tokens take, kWh."""
    least: LeastObjective | None = None
    """What has the least objective, where the answer spends less within ``objective.tolerance`` of it; None: it is the answer."""
    multipliers: tuple[float, ...] = ()
    """What a further request/s costs in the bounds that prove the answer, ms: its certificate. Any number bounds every set of instances."""
    simulations: tuple[PoolSimulation, ...] = ()
    """Of a trace, one for each pool that could be played."""

    @property
    def label(self) -> str:
        """Short name such as ``2 × TP8·PP1 on h100 + 4 × TP4·PP1 on a100``."""
        return " + ".join(f"{pool.instances} × {instance_label(pool.strategy)} on {pool.where}" for pool in self.pools)


def instance_label(strategy: Strategy) -> str:
    """Short name of one instance's shape, such as ``TP4·PP2``."""
    return f"TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}{strategy.sharing}"
