"""The problem file as a person writes it. ``reading.load`` resolves it into a ``Problem``."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from optimizer.facts.base import Count, CountOrZero, Facts, Name, NonNegative, Positive
from optimizer.facts.demand import Objective, Preset, Requirements, SearchLimits
from optimizer.facts.engine import Engine
from optimizer.facts.hardware import GpuFacts, Pricing
from optimizer.facts.overhead import EngineVersion, StatedOverhead
from optimizer.facts.problem import Serving
from optimizer.facts.workload import WorkloadInput


class FailureRatesInput(Facts):
    """Overrides of the failure defaults (Llama 3 paper, table 5; catalog/data/failures.yaml)."""

    gpu_mtbf_hours: Positive | None = Field(default=None, description="Mean time between failures of one GPU")
    node_mtbf_hours: Positive | None = Field(
        default=None, description="Mean time between failures of one node's own parts (host, NIC)"
    )
    repair_hours: NonNegative | None = Field(
        default=None, description="Mean time until the GPU or node is back in service"
    )


class HardwareInput(Facts):
    """Equal nodes of one GPU type. What is left out comes from the catalog entry of the GPU."""

    gpu: str | GpuFacts = Field(description="Catalog name such as h100-sxm-80gb, or the facts inline")
    instance_type: str | None = Field(
        default=None,
        description="In place of gpu: a cloud's instance type such as p5.48xlarge, which brings GPUs, links and network",
    )
    nodes: Count = Field(default=1, description="Equal nodes")
    gpus_per_node: Count | None = Field(
        default=None, description="GPUs of one node; left out, as this GPU usually comes"
    )
    nvlink_gb_per_s: NonNegative | None = Field(default=None, description="Per GPU, both directions together; 0: none")
    nvlink_domain_gpus: Count | None = Field(default=None, description="GPUs that reach each other over NVLink")
    pcie_gb_per_s: Positive | None = Field(default=None, description="One direction, 10^9 bytes/s")
    internode_gbit_per_s: Positive | None = Field(
        default=None,
        description="Network bandwidth of one node, one direction, Gbit/s; left out, as this GPU's nodes usually come, else 100",
    )
    internode_latency_us: NonNegative = Field(default=10, description="One message between two nodes, microseconds")
    memory_used_mib: CountOrZero | tuple[CountOrZero, ...] = Field(
        default=0,
        description="Memory that other processes hold: on each GPU, or a list with one figure a GPU of a node, MiB",
    )
    host_memory_gb: Positive | None = Field(
        default=None, description="Memory of one host, 10^9 bytes; stated in reports, no rule asks for it"
    )
    cpu_cores: Count | None = Field(
        default=None, description="Cores of one host; stated in reports, no rule asks for it"
    )
    price_per_gpu_hour: NonNegative | None = Field(default=None, description="Price of one GPU for one hour")
    price_per_node_hour: NonNegative | None = Field(
        default=None, description="Or: price of one node for one hour, shared by its GPUs"
    )
    pricing: Pricing = Field(
        default="on-demand", description="How the nodes are paid for; chooses the price of a price file"
    )
    interruptions_per_hour: Positive | None = Field(
        default=None,
        description="Of pricing: spot, how often the provider takes a node away; one is back after failures.repair_hours",
    )
    power_limit_watts: Positive | None = Field(
        default=None,
        description="Most power of all nodes together (the feed), W: GPUs in use count their board power, the others their idle power",
    )
    node_power_limit_watts: Positive | None = Field(
        default=None, description="Most power of each node, counted alike, W: so many of its GPUs may work"
    )
    host_watts: NonNegative = Field(
        default=0, description="What a node draws beside its GPUs, W; counts where power is limited"
    )
    idle_watts: Positive | None = Field(
        default=None, description="Power of one GPU that does not work, W; left out, that of the catalog entry"
    )
    failures: FailureRatesInput = Field(
        default=FailureRatesInput(), description="Failure rates; left out, published defaults"
    )


class ProblemFile(Facts):
    """One question: hardware, model, workload and requirements. YAML or JSON."""

    name: Name | None = Field(default=None, description="How answers call the problem; left out, the file's name")
    engine: Engine = Field(default="vllm", description="The serving engine")
    serving: Serving = Field(
        default="joint",
        description="joint: every instance works on prompts and tokens; disaggregated: prefill and decode are pools of their own "
        "(docs/disaggregated.md); any: whichever is better, both proved",
    )
    engine_version: EngineVersion | None = Field(
        default=None,
        description="Version whose way of measuring memory counts, such as 0.11.0; left out, the newest known",
    )
    engine_overhead: StatedOverhead = Field(
        default=StatedOverhead(),
        description="What the engine takes beside weights and cache, as measured on the machine",
    )
    hardware: HardwareInput = Field(description="Equal nodes")
    prices: str | None = Field(
        default=None,
        description="Price file (docs/sweep.md) for GPUs whose price is not stated here, by their type and pricing",
    )
    model: str | dict[str, Any] = Field(
        description="Catalog name such as llama3-70b, a path to a Hugging Face config.json, or its contents inline"
    )
    workload: WorkloadInput = Field(description="The requests that arrive")
    requirements: Requirements = Field(default=Requirements(), description="Limits that the answer keeps")
    objective: Preset | Objective = Field(
        default=Objective(), description="What best means: a preset, or a preset with weights"
    )
    search: SearchLimits = Field(default=SearchLimits(), description="What may be considered")
