"""From a problem file with ``cluster:`` (a list of node groups) to a checked ``InventoryProblem``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from optimizer.catalog import lookup as catalog
from optimizer.catalog.constants import constants
from optimizer.catalog.instances import nodes_stated
from optimizer.catalog.recovery import recovery_facts
from optimizer.engines.sixteen_bit import served_on
from optimizer.facts.base import LARGEST_COUNT, Count, CountOrZero, Facts, Name, NonNegative, Positive
from optimizer.facts.demand import Objective, Preset, Requirements, SearchLimits, WorkloadInput
from optimizer.facts.engine import Engine
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.inventory import (
    BUILT_IN_LEVELS,
    HOST,
    Domain,
    InventoryFailures,
    InventoryProblem,
    Losses,
    NodeGroup,
    Rate,
)
from optimizer.facts.model import ModelFacts
from optimizer.facts.overhead import EngineVersion, StatedOverhead
from optimizer.facts.text import name_from_path
from optimizer.reading.files import read_mapping
from optimizer.reading.load import (
    by_itself,
    first_error,
    known_capability,
    most_used,
    network_of,
    no_peers,
    nvlink_domain,
    refuse_impossible_context,
    resolve_model,
)
from optimizer.reading.workload import longest_allowed, workload_of

MOST_GROUPS = 2_000
MOST_LOSSES = 2


class GroupInput(Facts):
    """One entry of ``cluster``. What is left out comes from the catalog entry of the GPU."""

    name: Name | None = Field(default=None, description="How answers call the group")
    gpu: str | GpuFacts = Field(description="Catalog name such as h100-sxm-80gb, or the facts inline")
    instance_type: Name | None = Field(
        default=None, description="In place of gpu: a cloud's instance type such as p5.48xlarge, one node of the group"
    )
    nodes: Count = Field(default=1, description="Equal nodes of the group")
    gpus_per_node: Count | None = Field(
        default=None, description="GPUs of one node; left out, as this GPU usually comes"
    )
    free_gpus: Count | None = Field(default=None, description="GPUs of each node that may be used; left out, all")
    nvlink_gb_per_s: NonNegative | None = Field(default=None, description="Per GPU, both directions together; 0: none")
    nvlink_domain_gpus: Count | None = Field(default=None, description="GPUs that reach each other over NVLink")
    pcie_gb_per_s: Positive | None = Field(default=None, description="One direction, 10^9 bytes/s")
    internode_gbit_per_s: Positive | None = Field(default=None, description="Network bandwidth of one node, Gbit/s")
    nics: Count | None = Field(default=None, description="Network cards of one node, with nic_gbit_per_s")
    nic_gbit_per_s: Positive | None = Field(default=None, description="Rate of one network card, Gbit/s")
    internode_latency_us: NonNegative = Field(default=10, description="One message between two nodes, microseconds")
    memory_used_mib: CountOrZero | tuple[CountOrZero, ...] = Field(
        default=0,
        description="Memory that other processes hold: on each GPU, or a list with one figure a free GPU, MiB",
    )
    rack: Name | None = Field(default=None, description="The rack all its nodes stand in")
    racks: Count | None = Field(default=None, description="Or: equal racks the nodes are spread over")
    zone: Name | None = Field(default=None, description="Power feed or zone")
    price_per_gpu_hour: NonNegative | None = Field(default=None, description="Price of one GPU for one hour")


class RateInput(Facts):
    """A figure with its range."""

    value: Positive = Field(description="The figure")
    low: Positive | None = Field(default=None, description="Lower end of its range")
    high: Positive | None = Field(default=None, description="Upper end of its range")


class InventoryFailuresInput(Facts):
    """Overrides of the failure defaults; hours, each a number or {value, low, high}."""

    gpu_mtbf_hours: Positive | RateInput | None = Field(
        default=None, description="Mean hours between failures of one GPU"
    )
    node_mtbf_hours: Positive | RateInput | None = Field(default=None, description="Of one node (host, network card)")
    rack_mtbf_hours: Positive | RateInput | None = Field(default=None, description="Of one rack (its switch)")
    zone_mtbf_hours: Positive | RateInput | None = Field(
        default=None, description="Of one power feed or zone; left out, zones do not fail by themselves"
    )
    domain_mtbf_hours: Positive | RateInput | None = Field(
        default=None, description="Of one domain of a level of your own"
    )
    repair_hours: Positive | RateInput | None = Field(default=None, description="Mean hours until a part is back")
    engine_start_s: NonNegative | None = Field(default=None, description="Start of an engine, weights not counted, s")
    storage_gb_per_s: Positive | None = Field(
        default=None, description="Rate at which a node reads weights, 10^9 bytes/s"
    )


class InventoryFile(Facts):
    """One question about an inventory. YAML or JSON."""

    name: Name | None = Field(default=None, description="How answers call the problem; left out, the name of the file")
    engine: Engine = Field(default="vllm", description="The serving engine")
    engine_version: EngineVersion | None = Field(
        default=None,
        description="Version whose way of measuring memory counts, such as 0.11.0; left out, the newest known",
    )
    engine_overhead: StatedOverhead = Field(
        default=StatedOverhead(),
        description="What the engine takes beside weights and cache, as measured on the machines",
    )
    cluster: Annotated[tuple[GroupInput, ...], Field(min_length=1, max_length=MOST_GROUPS)] = Field(
        description="Groups of equal nodes"
    )
    domains: dict[Name, dict[Name, tuple[Name, ...]]] = Field(
        default={}, description="Sets of groups that fail together: level, name of the domain, groups in it"
    )
    failures: InventoryFailuresInput = Field(
        default=InventoryFailuresInput(), description="Failure rates and restart times; left out, published defaults"
    )
    model: str | dict[str, Any] = Field(description="Catalog name, path of a config.json, or its contents")
    workload: WorkloadInput = Field(description="The requests that arrive")
    requirements: Requirements = Field(default=Requirements(), description="Limits that the answer keeps")
    objective: Preset | Objective = Field(
        default=Objective(), description="What best means: a preset, or a preset with weights"
    )
    search: SearchLimits = Field(default=SearchLimits(), description="What may be considered")


def file_schema() -> dict[str, Any]:
    """The JSON Schema of a problem file with ``cluster:``; the levels of ``requirements.survive`` are those of the inventory."""
    schema = InventoryFile.model_json_schema()
    survive = {
        "type": "object",
        "description": "Losses to survive at once, by level: gpu, node, rack, zone, or a level of domains",
        "properties": {
            "demand_share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1},
            "within_s": {
                "type": "number",
                "minimum": 0,
                "description": "Restarts on unused GPUs count within so many seconds",
            },
        },
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MOST_LOSSES},
    }
    schema["$defs"]["Requirements"]["properties"]["survive"] = survive
    return schema


def is_inventory(values: Mapping[str, Any]) -> bool:
    """Whether the contents of a problem file state an inventory."""
    return "cluster" in values and values.get("kind") != "chain"


def load_inventory(path: str | Path) -> InventoryProblem:
    """Read, check and resolve a problem file with ``cluster:``.

    Raises:
        ProblemError: the file is missing, not readable, malformed, or states something impossible.
    """
    file = Path(path)
    return inventory_from_dict(read_mapping(file, str(path)), default_name=file.stem, folder=file.parent)


def inventory_from_dict(
    values: Mapping[str, Any],
    *,
    default_name: str = "problem",
    folder: Path | None = None,
    model: ModelFacts | None = None,
) -> InventoryProblem:
    """Check and resolve an inventory problem given as plain data.

    Args:
        values: the contents of a problem file.
        default_name: the name where none is stated.
        folder: where relative paths to models start.
        model: its facts where they are known already; left out, they are read from what the file names.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    if "hardware" in values:
        raise ProblemError("hardware", "stands beside cluster; state one of them")
    plain, survive, share, within = _without_survive(nodes_stated(values))
    try:
        stated = InventoryFile.model_validate(plain)
    except ValidationError as error:
        raise first_error(error, values, InventoryFile) from None
    groups = _groups(stated.cluster)
    domains = _domains(stated.domains, {group.name for group in groups})
    groups = in_one_host(groups, domains)
    search = _one_budget(stated.search)
    alone = [group.gpu for group in groups if not group.gpu.peer_links]
    if alone:
        if len(alone) < len(groups):
            raise ProblemError("cluster", f"{no_peers(alone[0])}. Plan slices and whole GPUs in two files")
        search = by_itself(search, alone[0])
    objective = Objective(preset=stated.objective) if isinstance(stated.objective, str) else stated.objective
    if objective.preset == "capacity":
        raise ProblemError("objective", "preset capacity is for problems with hardware:; with cluster: say throughput")
    model = served_on(
        model or resolve_model(stated.model, folder or Path()), stated.engine, [group.gpu for group in groups]
    )
    if stated.workload.speculation is not None:
        raise ProblemError(
            "workload.speculation", "is for problems with hardware:, whose bounds count what guesses take"
        )
    problem = InventoryProblem(
        name=stated.name or name_from_path(default_name, "problem"),
        engine=stated.engine,
        groups=groups,
        domains=domains,
        failures=_failures(stated.failures),
        model=model,
        workload=workload_of(stated.workload, folder or Path(), longest_allowed(stated.requirements, model), model),
        requirements=stated.requirements,
        survive=(),
        demand_share=share,
        within_s=within,
        recovery=recovery_facts(stated.failures.engine_start_s, stated.failures.storage_gb_per_s),
        objective=objective,
        search=search,
        engine_version=stated.engine_version,
        engine_overhead=stated.engine_overhead,
    )
    problem = problem.model_copy(update={"survive": _losses(survive, problem)})
    work = problem.workload
    needed = work.longest_tokens or work.longest_prompt_tokens + (work.output_tokens_p99 or work.output_tokens)
    longest = problem.requirements.max_sequence_tokens or problem.model.max_context_tokens
    if needed > longest:
        raise ProblemError(
            "workload",
            f"the prompt plus output is {needed} tokens, more than the {longest} of "
            "requirements.max_sequence_tokens (or the model's context)",
        )
    refuse_impossible_context(problem.model, problem.requirements, problem.search)
    return problem


def _without_survive(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], float, float | None]:
    """The file without ``requirements.survive``, that section's levels, its demand share and its seconds for restarts."""
    plain = dict(values)
    requirements = plain.get("requirements")
    if not isinstance(requirements, Mapping) or "survive" not in requirements:
        return plain, {}, 1.0, None
    survive = requirements["survive"]
    plain["requirements"] = {key: value for key, value in requirements.items() if key != "survive"}
    if not isinstance(survive, Mapping):
        raise ProblemError("requirements.survive", f"{survive!r} is not a mapping such as {{node: 1}}")
    levels = {str(key): value for key, value in survive.items()}
    share = levels.pop("demand_share", 1.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ProblemError("requirements.survive.demand_share", f"{share!r} is not a share above 0 and at most 1")
    within = levels.pop("within_s", None)
    if within is not None and (
        isinstance(within, bool) or not isinstance(within, int | float) or not 0 <= within < 1e9
    ):
        raise ProblemError("requirements.survive.within_s", f"{within!r} is not a number of seconds from 0")
    return plain, levels, float(share), None if within is None else float(within)


def _losses(survive: Mapping[str, Any], problem: InventoryProblem) -> tuple[Losses, ...]:
    found = []
    levels = problem.levels()
    for level, count in survive.items():
        field = f"requirements.survive.{level}"
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_LOSSES:
            raise ProblemError(field, f"{count!r} is not a whole number from 0 to {MOST_LOSSES}")
        if level not in levels:
            known = closest(level, (*BUILT_IN_LEVELS, *levels))
            where = {"rack": "state rack or racks in cluster", "zone": "state zone in cluster"}
            raise ProblemError(field, f"the inventory has no level {level!r}; {where.get(level, known)}")
        if count:
            found.append(Losses(level=level, count=count))
    return tuple(found)


def _one_budget(search: SearchLimits) -> SearchLimits:
    """The search with the one token budget that is stated: several are a decision of problems with ``hardware:``."""
    budgets = search.token_budgets
    if budgets is None:
        return search
    if isinstance(budgets, str) or len(set(budgets)) > 1:
        raise ProblemError(
            "search.token_budgets",
            "is a decision for problems with hardware:; with cluster: state one, as search.max_num_batched_tokens",
        )
    return search.model_copy(update={"max_num_batched_tokens": budgets[0], "token_budgets": None})


def _groups(stated: tuple[GroupInput, ...]) -> tuple[NodeGroup, ...]:
    groups: list[NodeGroup] = []
    for number, entry in enumerate(stated):
        field = f"cluster.{number}"
        gpu = known_capability(entry.gpu) if isinstance(entry.gpu, GpuFacts) else catalog.gpu(entry.gpu, f"{field}.gpu")
        per_node = entry.gpus_per_node or gpu.gpus_per_node
        free = entry.free_gpus or per_node
        if free > per_node:
            raise ProblemError(f"{field}.free_gpus", f"{free} is more than the {per_node} GPUs of a node")
        if entry.rack is not None and entry.racks is not None:
            raise ProblemError(f"{field}.racks", "stands beside rack; state one of them")
        if entry.racks is not None and entry.nodes % entry.racks:
            raise ProblemError(
                f"{field}.racks",
                f"{entry.nodes} nodes are not spread equally over {entry.racks} racks; split the group",
            )
        nvlink = gpu.nvlink_gb_per_s if entry.nvlink_gb_per_s is None else entry.nvlink_gb_per_s
        domain = nvlink_domain(gpu, per_node, entry.nvlink_gb_per_s, entry.nvlink_domain_gpus)
        if nvlink == 0 and domain > 1:
            raise ProblemError(f"{field}.nvlink_domain_gpus", f"{domain} needs nvlink_gb_per_s above 0")
        network, assumed = _network(entry, gpu, per_node, field)
        groups.append(
            NodeGroup(
                name=entry.name or f"{gpu.name}-{number}",
                gpu=gpu,
                nodes=entry.nodes,
                gpus_per_node=per_node,
                free_gpus=free,
                nvlink_gb_per_s=nvlink,
                nvlink_domain_gpus=domain,
                pcie_gb_per_s=gpu.pcie_gb_per_s if entry.pcie_gb_per_s is None else entry.pcie_gb_per_s,
                internode_gbit_per_s=network,
                internode_latency_us=entry.internode_latency_us,
                memory_used_mib=most_used(entry.memory_used_mib, gpu, free, f"{field}.memory_used_mib"),
                rack=entry.rack,
                racks=entry.racks or 0,
                zone=entry.zone,
                price_per_gpu_hour=entry.price_per_gpu_hour,
                assumed=assumed,
            )
        )
    names = [group.name for group in groups]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ProblemError(f"cluster.{number}.name", f"{name!r} is taken; each group needs a name of its own")
    if sum(group.nodes * group.gpus_per_node for group in groups) > LARGEST_COUNT:
        raise ProblemError("cluster", f"holds more than {LARGEST_COUNT:,} GPUs")
    return tuple(groups)


def _network(entry: GroupInput, gpu: GpuFacts, gpus_per_node: int, field: str) -> tuple[float, tuple[str, ...]]:
    """Gbit/s of one node, from its network cards where those are stated, and what was assumed."""
    if (entry.nics is None) != (entry.nic_gbit_per_s is None):
        raise ProblemError(f"{field}.nics", "nics and nic_gbit_per_s are stated together")
    if entry.nics is None or entry.nic_gbit_per_s is None:
        return network_of(gpu, gpus_per_node, entry.internode_gbit_per_s)
    total = entry.nics * entry.nic_gbit_per_s
    if entry.internode_gbit_per_s not in (None, total):
        raise ProblemError(
            f"{field}.internode_gbit_per_s", f"{entry.internode_gbit_per_s} is not nics × nic_gbit_per_s = {total}"
        )
    return total, ()


def _domains(stated: Mapping[str, Mapping[str, tuple[str, ...]]], groups: set[str]) -> tuple[Domain, ...]:
    found = []
    for level, named in stated.items():
        if level in (*BUILT_IN_LEVELS, "demand_share", "within_s"):
            raise ProblemError(f"domains.{level}", "is a level of its own already; use another word")
        for name, members in named.items():
            if not members:
                raise ProblemError(f"domains.{level}.{name}", "is empty; name at least one group of cluster")
            for member in members:
                if member not in groups:
                    raise ProblemError(f"domains.{level}.{name}", f"no group {member!r}; {closest(member, groups)}")
            found.append(Domain(level=level, name=name, groups=tuple(dict.fromkeys(members))))
    return tuple(found)


def in_one_host(groups: tuple[NodeGroup, ...], domains: tuple[Domain, ...]) -> tuple[NodeGroup, ...]:
    """The groups, which reach each other over PCIe where all of them are the cards of one machine.

    Raises:
        ProblemError: a group of several nodes is said to be in one host.
    """
    nodes = {group.name: group.nodes for group in groups}
    for host in (domain for domain in domains if domain.level == HOST):
        for name in host.groups:
            if nodes[name] > 1:
                raise ProblemError(
                    f"domains.{HOST}.{host.name}",
                    f"is one machine, and group {name} has {nodes[name]} nodes; state one node, or another level",
                )
        if set(host.groups) == set(nodes):
            latency = constants().pcie_latency_us
            return tuple(
                group.model_copy(
                    update={
                        "internode_gbit_per_s": 8 * group.pcie_gb_per_s,
                        "internode_latency_us": latency,
                        "assumed": (),
                    }
                )
                for group in groups
            )
    return groups


def _failures(stated: InventoryFailuresInput) -> InventoryFailures:
    rates: dict[str, Rate | None] = dict(catalog.inventory_failure_defaults())
    for field in rates:
        value = getattr(stated, field)
        if isinstance(value, RateInput):
            low, high = value.low or value.value, value.high or value.value
            if not low <= value.value <= high:
                raise ProblemError(f"failures.{field}", f"low {low} ≤ value {value.value} ≤ high {high} does not hold")
            rates[field] = Rate(value=value.value, low=low, high=high)
        elif value is not None:
            rates[field] = Rate(value=value, low=value, high=value)
    return InventoryFailures.model_validate(rates)
