"""GPUs, nodes, the links between them, and how often they fail."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from optimizer.facts.base import Count, Facts, NonNegative, Positive
from optimizer.facts.text import Name

ComputeFormat = Literal["fp16", "bf16", "fp8", "int8", "fp4"]

MIB = 1024 * 1024


class GpuFacts(Facts):
    """One GPU type. Rates are vendor peaks; what is reached of them is the cost model's business."""

    name: Name
    memory_mib: Count = Field(description="Memory the device offers (nvidia-smi memory.total), MiB")
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
    layer_time_factor: Positive = Field(
        default=1,
        description="Per-layer and per-step time of this GPU's systems relative to Hopper's (GEN in docs/model.md)",
    )

    @model_validator(mode="after")
    def _has_sixteen_bit(self) -> GpuFacts:
        if "fp16" not in self.dense_tflops and "bf16" not in self.dense_tflops:
            raise ValueError("dense_tflops needs a 16-bit rate (fp16 or bf16)")
        return self

    @property
    def memory_bytes(self) -> int:
        """Memory the device offers, in bytes."""
        return self.memory_mib * MIB


class FailureRates(Facts):
    """Mean time between failures and to repair. Defaults and sources: ``facts/data/failures.yaml``."""

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
    host_memory_gb: Positive | None
    cpu_cores: Count | None
    price_per_gpu_hour: NonNegative | None
    failures: FailureRates

    @property
    def gpus(self) -> int:
        """GPUs there are."""
        return self.nodes * self.gpus_per_node
