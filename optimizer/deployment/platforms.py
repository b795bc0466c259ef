"""What differs between GPU vendors in launch files: resources, labels, taints, devices, and the variable that pins GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts

CACHE = "/root/.cache/huggingface"
"""Where the engines' images keep downloaded models: inside the container, whose user is root."""
PRODUCTS = Path(__file__).parent / "data" / "products.yaml"


@dataclass(frozen=True, slots=True)
class Platform:
    """One vendor. Sources: ``docs/deploy.md``, section 8."""

    id: str
    resource: str
    """Name of a GPU as a Kubernetes resource, and of the taint that keeps other pods off nodes with GPUs."""
    product: str
    """Label of nodes by which the GPU is told."""
    present: str
    """Label that every node with such a GPU has."""
    needs: str
    """What a cluster needs, a sentence."""
    visible: str
    """Environment variable that lists the GPUs of a process."""


NVIDIA = Platform(
    id="nvidia",
    resource="nvidia.com/gpu",
    product="nvidia.com/gpu.product",
    present="nvidia.com/gpu.present",
    needs="The nodes need NVIDIA's GPU operator (device plugin and feature discovery).",
    visible="CUDA_VISIBLE_DEVICES",
)
AMD = Platform(
    id="amd",
    resource="amd.com/gpu",
    product="amd.com/gpu.device-id",
    present="feature.node.kubernetes.io/amd-gpu",
    needs="The nodes need AMD's GPU operator (device plugin and node labeller).",
    visible="HIP_VISIBLE_DEVICES",
)


def platform_of(gpu: GpuFacts) -> Platform:
    """The platform of a GPU.

    Raises:
        ProblemError: launch files for it are not known.
    """
    if gpu.capability.startswith("gaudi"):
        raise ProblemError(
            "--target",
            f"{gpu.name}: engines run on Gaudi by plugins of their own (vllm-gaudi), whose versions, flags and images are not known "
            "here; the strategy itself is judged by solve and check",
        )
    return AMD if gpu.capability.startswith("gfx") else NVIDIA


def products_of(gpu: GpuFacts) -> tuple[str, ...]:
    """Values that the platform's product label has on nodes with this GPU; none for a GPU that the catalog does not have."""
    return _products().get(gpu.name, ())


@cache
def _products() -> dict[str, tuple[str, ...]]:
    import yaml

    with PRODUCTS.open("rb") as stream:
        found: dict[str, str | list[str]] = yaml.safe_load(stream)
    return {name: (label,) if isinstance(label, str) else tuple(label) for name, label in found.items()}
