"""Facts of an inventory: groups of equal nodes, what fails together, and how often. ``docs/inventories.md``, section 1."""

from __future__ import annotations

from pydantic import Field, model_validator

from optimizer.facts.base import Count, CountOrZero, Facts, NonNegative, Positive, Share
from optimizer.facts.demand import Objective, Requirements, SearchLimits, Survive
from optimizer.facts.engine import Engine
from optimizer.facts.hardware import FailureRates, GpuFacts, HardwareFacts, Pricing
from optimizer.facts.model import ModelFacts
from optimizer.facts.overhead import EngineVersion, StatedOverhead
from optimizer.facts.problem import Problem, Serving
from optimizer.facts.recovery import RecoveryFacts
from optimizer.facts.workload import Workload

BUILT_IN_LEVELS = ("gpu", "node", "rack", "zone")
INSTANCE_RULES_OFF = ("gpu_count", "concurrency", "request_rate")
"""Rules of one pool that an inventory states anew, over all pools."""


def level_word(level: str) -> str:
    """How sentences call a part of a level."""
    return "GPU" if level == "gpu" else level


SPOT = "spot"
"""Word before a group's name: the level of its nodes as parts that the provider takes away."""
TOTAL = "total"
"""Level of ``power_limits_watts`` for everything together."""
HOST = "host"
"""Level of ``domains`` whose groups are the cards of one machine."""


class NodeGroup(Facts):
    """Equal nodes. ``free_gpus`` counts the GPUs of each node that may be used."""

    name: str
    gpu: GpuFacts
    nodes: Count
    gpus_per_node: Count
    free_gpus: Count
    nvlink_gb_per_s: NonNegative
    nvlink_domain_gpus: Count
    pcie_gb_per_s: Positive
    internode_gbit_per_s: Positive
    internode_latency_us: NonNegative
    memory_used_mib: CountOrZero = 0
    rack: str | None = None
    racks: CountOrZero = 0
    zone: str | None = None
    price_per_gpu_hour: NonNegative | None = None
    pricing: Pricing = "on-demand"
    interruptions_per_hour: NonNegative = 0
    """How often the provider takes a node away."""
    node_power_limit_watts: Positive | None = None
    """Of each node; it is why ``idle_gpus`` of its free GPUs are not among ``free_gpus``."""
    host_watts: NonNegative = 0
    """What a node draws beside its GPUs."""
    idle_gpus: CountOrZero = 0
    """Free GPUs of each node that its power limit keeps from working."""
    assumed: tuple[str, ...] = ()
    """What was not stated and is taken as usual, in sentences."""

    @property
    def gpus(self) -> int:
        """Free GPUs."""
        return self.nodes * self.free_gpus

    @property
    def nodes_per_rack(self) -> int:
        """Nodes of the group in one rack; all of them where no racks are stated."""
        return self.nodes // self.racks if self.racks else self.nodes

    @property
    def nodes_together(self) -> int:
        """Nodes over which one instance may spread: those of a rack, and of an NVLink domain that spans nodes."""
        if self.nvlink_domain_gpus > self.gpus_per_node:
            return min(self.nodes_per_rack, max(1, self.nvlink_domain_gpus // self.gpus_per_node))
        return self.nodes_per_rack

    def node_name(self, index: int) -> str:
        """Such as ``h100-3``."""
        return f"{self.name}-{index}"

    def rack_of(self, node: int) -> str | None:
        """The rack in which the node with this index stands; None where none is stated."""
        if self.racks:
            return f"{self.name}-rack-{node // self.nodes_per_rack}"
        return self.rack


class Domain(Facts):
    """Groups that fail together at a level of their own, such as a switch or a power feed."""

    level: str
    name: str
    groups: tuple[str, ...] = Field(min_length=1)


class PowerLimit(Facts):
    """The most power of groups together: those of a rack, a zone or a domain of a level of one's own, or all (``total``)."""

    level: str
    name: str
    groups: tuple[str, ...] = Field(min_length=1)
    watts: Positive

    @property
    def rule(self) -> str:
        """Id of the rule, one for all limits of a level."""
        return f"power_{self.level}"

    @property
    def field(self) -> str:
        """Where the file states it."""
        return f"power_limits_watts.{TOTAL}" if self.level == TOTAL else f"power_limits_watts.{self.level}.{self.name}"


class Rate(Facts):
    """A figure with its range; hours."""

    value: Positive
    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _ordered(self) -> Rate:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"low {self.low} ≤ value {self.value} ≤ high {self.high} does not hold")
        return self


class InventoryFailures(Facts):
    """Mean hours between failures of each kind of part, and to repair. None: it never fails by itself."""

    gpu_mtbf_hours: Rate
    node_mtbf_hours: Rate
    rack_mtbf_hours: Rate | None
    zone_mtbf_hours: Rate | None
    domain_mtbf_hours: Rate | None
    repair_hours: Rate

    def mtbf(self, level: str) -> Rate | None:
        """Mean time between failures of one part of a level; levels of ``domains`` share one figure."""
        if level in BUILT_IN_LEVELS:
            rate: Rate | None = getattr(self, f"{level}_mtbf_hours")
            return rate
        return self.domain_mtbf_hours

    def unavailability(self, level: str) -> float:
        """Steady-state share of time a part of the level is down: repair / (mtbf + repair)."""
        rate = self.mtbf(level)
        return 0.0 if rate is None else self.repair_hours.value / (rate.value + self.repair_hours.value)


class Losses(Facts):
    """Losses at one level that must be survived."""

    level: str
    count: Count


class InventoryProblem(Facts):
    """The question about an inventory. Built by ``reading.inventory_file``; equal problems have equal answers."""

    name: str
    engine: Engine
    groups: tuple[NodeGroup, ...] = Field(min_length=1)
    domains: tuple[Domain, ...]
    failures: InventoryFailures
    model: ModelFacts
    workload: Workload
    requirements: Requirements
    survive: tuple[Losses, ...]
    demand_share: Share
    within_s: NonNegative | None = None
    """Losses of GPUs are judged after restarts on unused GPUs that take at most so long; None: no restart counts."""
    recovery: RecoveryFacts
    objective: Objective
    search: SearchLimits
    power_limits: tuple[PowerLimit, ...] = ()
    serving: Serving = "joint"
    """Whether each instance works on prompts and tokens, or prefill and decode are pools of their own; ``any``: the better."""
    engine_version: EngineVersion | None = None
    engine_overhead: StatedOverhead = StatedOverhead()

    @property
    def gpus(self) -> int:
        """Free GPUs of all groups."""
        return sum(group.gpus for group in self.groups)

    @property
    def priced(self) -> bool:
        """Whether the price of every GPU is known."""
        return all(group.price_per_gpu_hour is not None for group in self.groups)

    def failing_levels(self) -> tuple[str, ...]:
        """Levels at which parts fail: those of the inventory, and one for each group whose nodes are taken away at times."""
        return (*self.levels(), *(f"{SPOT} {group.name}" for group in self.groups if group.interruptions_per_hour))

    def mtbf(self, level: str) -> Rate | None:
        """Mean hours between failures of one part of a level of ``failing_levels``; None: it never fails by itself."""
        if level.startswith(f"{SPOT} "):
            hours = 1 / self.group(level.removeprefix(f"{SPOT} ")).interruptions_per_hour
            return Rate(value=hours, low=hours, high=hours)
        return self.failures.mtbf(level)

    def group(self, name: str) -> NodeGroup:
        """The group of this name."""
        return next(group for group in self.groups if group.name == name)

    def levels(self) -> tuple[str, ...]:
        """Levels at which this inventory has domains: gpu, node, then rack, zone and stated ones where there are any."""
        found = ["gpu", "node"]
        if any(group.racks or group.rack for group in self.groups):
            found.append("rack")
        if any(group.zone for group in self.groups):
            found.append("zone")
        return (*found, *dict.fromkeys(domain.level for domain in self.domains))

    @property
    def assumed(self) -> tuple[str, ...]:
        """What was not stated of the groups and is taken as usual, in sentences."""
        if len(self.groups) == 1 and self.groups[0].nodes == 1:
            return ()
        named: dict[str, list[str]] = {}
        for group in self.groups:
            for sentence in group.assumed:
                named.setdefault(sentence, []).append(group.name)
        return tuple(
            f"{sentence}; internode_gbit_per_s of {', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''} states it"
            for sentence, names in named.items()
        )

    def in_hosts(self) -> dict[str, tuple[str, int]]:
        """Groups that are cards of one machine (level ``host`` of ``domains``): name → (the host, GPUs of groups before it)."""
        found = {}
        for host in (domain for domain in self.domains if domain.level == HOST):
            before = 0
            for name in host.groups:
                found[name] = host.name, before
                before += self.group(name).gpus_per_node
        return found

    def wide_domains(self, level: str) -> dict[str, tuple[str, ...]]:
        """Domains of ``zone`` or of a stated level: name → names of the groups in it."""
        if level == "zone":
            zones: dict[str, list[str]] = {}
            for group in self.groups:
                if group.zone is not None:
                    zones.setdefault(group.zone, []).append(group.name)
            return {name: tuple(groups) for name, groups in zones.items()}
        return {domain.name: domain.groups for domain in self.domains if domain.level == level}

    def instance_problem(self, group: NodeGroup, nodes: int) -> Problem:
        """H(group, nodes): the homogeneous problem in which one instance on so many nodes is judged. Section 2."""
        free = group.free_gpus
        domain = group.nvlink_domain_gpus
        if domain <= group.gpus_per_node:
            domain = min(domain, free)
        requirements = self.requirements.model_copy(update={"survive": Survive()})
        known = (*self.search.disabled_rules, *INSTANCE_RULES_OFF)
        return Problem(
            name=f"{self.name}: {group.name}",
            engine=self.engine,
            hardware=HardwareFacts(
                gpu=group.gpu,
                nodes=nodes,
                gpus_per_node=free,
                nvlink_gb_per_s=group.nvlink_gb_per_s,
                nvlink_domain_gpus=domain,
                pcie_gb_per_s=group.pcie_gb_per_s,
                internode_gbit_per_s=group.internode_gbit_per_s,
                internode_latency_us=group.internode_latency_us,
                memory_used_mib=group.memory_used_mib,
                host_memory_gb=None,
                cpu_cores=None,
                price_per_gpu_hour=group.price_per_gpu_hour,
                failures=FailureRates(
                    gpu_mtbf_hours=self.failures.gpu_mtbf_hours.value,
                    node_mtbf_hours=self.failures.node_mtbf_hours.value,
                    repair_hours=self.failures.repair_hours.value,
                ),
            ),
            model=self.model,
            workload=self.workload,
            requirements=requirements,
            objective=self.objective,
            search=self.search.model_copy(
                update={"disabled_rules": tuple(dict.fromkeys(known)), "data_parallel": None}
            ),
            engine_version=self.engine_version,
            engine_overhead=self.engine_overhead,
        )
