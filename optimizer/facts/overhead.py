"""What an engine takes of a GPU beside weights and cache, as a person measured it: overrides of what is known of the engine."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optimizer.facts.base import CountOrZero, Facts, Sentence

EngineVersion = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,4}){1,3}$")]


class StatedOverhead(Facts):
    """Measured on the machine; what is left out comes from ``engines/data/memory``."""

    context_mib: CountOrZero | None = Field(
        default=None, description="CUDA or ROCm context of one process and the engine's modules in it, MiB"
    )
    communication_mib: CountOrZero | None = Field(
        default=None, description="Buffers of NCCL and of custom all-reduces where several GPUs work together, MiB"
    )
    non_torch_mib: CountOrZero | None = Field(
        default=None, description="Workspaces of kernel libraries that the allocator does not see, MiB"
    )
    cuda_graphs_mib: CountOrZero | None = Field(default=None, description="CUDA graphs of one GPU, MiB")
    activations_mib: CountOrZero | None = Field(
        default=None, description="Peak of activations and sampling in the engine's profiling run, MiB"
    )
    measured: Sentence | None = Field(
        default=None, description="Where the figures are from; answers then say that they were measured here"
    )

    @property
    def anything(self) -> bool:
        """Whether any figure is stated."""
        return any(value is not None for name, value in self if name.endswith("_mib"))
