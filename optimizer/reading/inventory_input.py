"""What a problem file with ``cluster:`` may state: its fields, their bounds and what they mean."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from optimizer.facts.base import Count, CountOrZero, Facts, Name, NonNegative, Positive
from optimizer.facts.demand import Objective, Preset, Requirements, SearchLimits
from optimizer.facts.engine import Engine
from optimizer.facts.hardware import GpuFacts, Pricing
from optimizer.facts.overhead import EngineVersion, StatedOverhead
from optimizer.facts.problem import Serving
from optimizer.facts.workload import WorkloadInput

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
    price_per_node_hour: NonNegative | None = Field(
        default=None, description="Or: price of one node for one hour, shared by all its GPUs"
    )
    pricing: Pricing = Field(
        default="on-demand", description="How the nodes are paid for; chooses the price of a price file"
    )
    interruptions_per_hour: Positive | None = Field(
        default=None,
        description="Of pricing: spot, how often the provider takes a node away; one is back after failures.repair_hours",
    )
    node_power_limit_watts: Positive | None = Field(
        default=None,
        description="Most power of each node, W: GPUs in use, and those that others hold, count their board power, the others their idle "
        "power; so many of its GPUs may work",
    )
    host_watts: NonNegative = Field(
        default=0, description="What a node draws beside its GPUs, W; counts where power is limited"
    )
    idle_watts: Positive | None = Field(
        default=None, description="Power of one GPU that does not work, W; left out, that of the catalog entry"
    )


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
    serving: Serving = Field(
        default="joint",
        description="joint: each instance works on prompts and tokens; disaggregated: prefill and decode instances, with the cache "
        "sent between; any: whichever is better (docs/disaggregated.md)",
    )
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
    power_limits_watts: dict[Name, Positive | dict[Name, Positive]] = Field(
        default={},
        description="Most power, W, counted as for a node: total: of everything; rack, zone or a level of domains: by its names",
    )
    failures: InventoryFailuresInput = Field(
        default=InventoryFailuresInput(), description="Failure rates and restart times; left out, published defaults"
    )
    prices: str | None = Field(
        default=None,
        description="Price file (docs/sweep.md) for GPUs whose price is not stated here, by their type and pricing",
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
    return with_levels(InventoryFile.model_json_schema())


def with_levels(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose ``survive`` takes the levels of an inventory."""
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
