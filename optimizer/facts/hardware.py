"""GPUs, nodes, the links between them, and how often they fail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from optimizer.facts.base import Count, CountOrZero, Facts, Name, NonNegative, Positive

ComputeFormat = Literal["fp16", "bf16", "fp8", "int8", "fp4"]
Generation = Literal["ampere", "ada", "hopper", "blackwell", "blackwell-rtx"]

MIB, GIB = 1024**2, 1024**3
_GENERATIONS: tuple[tuple[float, Generation], ...] = (
    (12.0, "blackwell-rtx"),
    (10.0, "blackwell"),
    (9.0, "hopper"),
    (8.9, "ada"),
    (0.0, "ampere"),
)
"""CUDA compute capability from which a generation's kernels apply; older GPUs are taken as Ampere."""


def _as_words(stated: Any) -> Any:
    """YAML reads an unquoted 8.6 as a number."""
    return f"{stated:.1f}" if isinstance(stated, int | float) and not isinstance(stated, bool) else stated


ComputeCapability = Annotated[
    str, Field(pattern=r"^(\d{1,2}\.\d|gfx[0-9a-f]{3,5}|gaudi\d)$"), BeforeValidator(_as_words)
]


class GpuFacts(Facts):
    """One GPU type. Rates are vendor peaks; what is reached of them is the cost model's business."""

    name: Name = Field(description="How answers call the GPU")
    memory_mib: Count = Field(description="Memory of the device as nvidia-smi or rocm-smi prints its total, MiB")
    reserved_mib: CountOrZero = Field(
        default=0,
        description="Part of memory_mib that the driver keeps: CUDA or ROCm gives a process the rest, MiB",
    )
    reserved_as: Name | None = Field(
        default=None, description="Card that reserved_mib was read from, where none of this one was; answers say so"
    )
    compute_capability: ComputeCapability | None = Field(
        default=None,
        description="What kernels may be built for: CUDA compute capability such as 8.6, a ROCm target such as gfx942, "
        "or gaudi2; left out, that of the catalog entry of the same name, else what dense_tflops tells",
    )
    memory_bandwidth_gb_per_s: Positive = Field(description="Peak memory bandwidth, 10^9 bytes/s")
    dense_tflops: dict[ComputeFormat, Positive] = Field(
        description="Peak dense tensor-core rate by number format, 10^12 FLOP/s; leave out formats without hardware"
    )
    nvlink_gb_per_s: NonNegative = Field(
        default=0, description="NVLink (or xGMI) per GPU, both directions together as vendors print it; 0: none"
    )
    nvlink_domain_gpus: Count = Field(default=1, description="GPUs that reach each other over NVLink")
    pcie_gb_per_s: Positive = Field(default=32, description="PCIe x16, one direction, 10^9 bytes/s")
    gpus_per_node: Count = Field(default=8, description="GPUs in the usual node of this type")
    network_gbit_per_s: Positive | None = Field(
        default=None, description="Network of the usual node of this type, one GPU's share of it, one direction, Gbit/s"
    )
    peer_links: bool = Field(
        default=True,
        description="Whether it reaches other GPUs at all; MIG slices do not, so that each serves by itself",
    )
    tdp_watts: Positive | None = Field(default=None, description="Most power the card may draw, W")
    idle_watts: Positive | None = Field(default=None, description="Power of the card with no process on it, W")
    layer_time_factor: Positive = Field(
        default=1,
        description="Per-layer and per-step time of this GPU's systems relative to Hopper's (GEN in docs/model.md)",
    )

    @property
    def kernel_generation(self) -> Generation:
        """Whose kernel efficiencies apply (docs/model.md): by compute capability, else the newest whose formats it has."""
        said = self.compute_capability or ""
        if said[:1].isdigit():
            version = float(said)
            for least, name in _GENERATIONS:
                if version >= least:
                    return name
        return "blackwell" if "fp4" in self.dense_tflops else "hopper" if "fp8" in self.dense_tflops else "ampere"

    @model_validator(mode="after")
    def _has_sixteen_bit(self) -> GpuFacts:
        if "fp16" not in self.dense_tflops and "bf16" not in self.dense_tflops:
            raise ValueError("dense_tflops needs a 16-bit rate (fp16 or bf16)")
        if self.reserved_mib >= self.memory_mib:
            raise ValueError(f"reserved_mib {self.reserved_mib} leaves nothing of memory_mib {self.memory_mib}")
        return self

    @property
    def capability(self) -> str:
        """``compute_capability``, or the least that the stated rates need where it is not stated.

        NVIDIA's: tensor cores for FP4 came with 10.0, FP8 with 8.9, BF16 with 8.0 and INT8 with 7.5 (CUDA C++ Programming
        Guide, compute capabilities); what is left out of ``dense_tflops`` has no hardware.
        """
        if self.compute_capability is not None:
            return self.compute_capability
        least: dict[ComputeFormat, str] = {"fp4": "10.0", "fp8": "8.9", "bf16": "8.0", "int8": "7.5"}
        return next((capability for rate, capability in least.items() if rate in self.dense_tflops), "7.0")

    @property
    def process_mib(self) -> int:
        """Memory that CUDA or ROCm gives a process, MiB."""
        return self.memory_mib - self.reserved_mib

    @property
    def memory_bytes(self) -> int:
        """Memory that CUDA or ROCm gives a process, in bytes: what an engine's share of memory is a share of."""
        return self.process_mib * MIB


Pricing = Literal["on-demand", "reserved", "spot"]
"""How nodes are paid for; the provider may take spot nodes away."""


class FailureRates(Facts):
    """Mean time between failures and to repair. Defaults and sources: ``catalog/data/failures.yaml``."""

    gpu_mtbf_hours: Positive
    node_mtbf_hours: Positive
    repair_hours: NonNegative


class HardwareFacts(Facts):
    """Equal nodes of one GPU type."""

    gpu: GpuFacts
    nodes: Count
    gpus_per_node: Count
    nvlink_gb_per_s: NonNegative
    nvlink_domain_gpus: Count
    pcie_gb_per_s: Positive
    internode_gbit_per_s: Positive
    internode_latency_us: NonNegative
    memory_used_mib: CountOrZero = 0
    """Memory that other processes hold on the GPU that has the least free."""
    host_memory_gb: Positive | None
    cpu_cores: Count | None
    price_per_gpu_hour: NonNegative | None
    failures: FailureRates
    pricing: Pricing = "on-demand"
    """Spot nodes: ``failures`` has their interruptions among the failures of nodes."""
    power_limit_watts: Positive | None = None
    """Of all nodes together; None: no limit."""
    node_power_limit_watts: Positive | None = None
    """Of each node; it is why ``idle_gpus_per_node`` of its GPUs are not among ``gpus_per_node``."""
    host_watts: NonNegative = 0
    """What a node draws beside its GPUs."""
    idle_gpus_per_node: CountOrZero = 0
    """GPUs of each node beside ``gpus_per_node`` that its power limit keeps from working."""
    assumed: tuple[str, ...] = ()
    """What was not stated and is taken as usual, in sentences."""

    @property
    def free_bytes(self) -> int:
        """Memory of a GPU that other processes leave: an engine that asks for more refuses to start."""
        return max(0, self.gpu.process_mib - self.memory_used_mib) * MIB

    @property
    def gpus(self) -> int:
        """GPUs there are, less those that the power limit of their node keeps from working."""
        return self.nodes * self.gpus_per_node

    @property
    def built_in_per_node(self) -> int:
        """GPUs of one node, those included that its power limit keeps from working."""
        return self.gpus_per_node + self.idle_gpus_per_node
