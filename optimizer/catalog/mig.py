"""MIG slices as GPUs of their own: ``h100-sxm-80gb-mig-3g.40gb`` has three sevenths of the SMs and half the memory of its parent.

Fractions: https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html. Memory that a process gets: the share of
the parent's less 150 MiB, which is what ``nvidia-smi mig -lgip`` prints on H100 80 GB (9.75, 19.62 and 39.50 GiB,
https://jbarrow.ai/field_notes/nvidia-mig/). The same table says ``P2P No``: slices reach no other GPU, not even each other.
RTX PRO 6000: four slices of 24 GB or two of 48 (https://www.pny.com/professional/software-solutions/multi-instance-gpu).
"""

from __future__ import annotations

import re
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts

NAME = re.compile(
    r"(?P<parent>.+?)[\s_-]+mig[\s_-]+(?P<compute>\d)g\.(?P<gb>\d{1,3})gb(?:\+me(?:\.all)?|\+gfx|-me)?", re.IGNORECASE
)
"""An ending such as ``+me`` says which video and graphics units the slice has: SMs and memory are those of the profile without it."""
RESERVED_MIB = 150
_USUAL = {(1, 1): 7, (1, 2): 4, (2, 2): 3, (3, 4): 2, (4, 4): 1, (7, 8): 1}
"""(sevenths of the SMs, eighths of the memory) → slices of a GPU at once."""
_PROFILES: dict[str, tuple[int, int, dict[tuple[int, int], int]]] = {
    **dict.fromkeys(("a30", "rtx-pro-6000"), (4, 4, {(1, 1): 4, (2, 2): 2, (4, 4): 1})),
    **dict.fromkeys(
        ("a100", "a800", "h100", "h800", "h20", "h200", "gh200", "b200", "b300", "gb200", "gb300"), (7, 8, _USUAL)
    ),
}
"""By how the parent's name begins: (slices of SMs, slices of memory, profiles)."""


def slice_of(name: str, parent: GpuFacts, field: str) -> GpuFacts:
    """Facts of a slice.

    Args:
        name: such as ``h100-sxm-80gb-mig-3g.40gb``.
        parent: the GPU that is cut.

    Raises:
        ProblemError: the GPU cannot be cut, or not like this.
    """
    found = NAME.fullmatch(name.strip())
    family = family_of(parent)
    if found is None or family not in _PROFILES:
        raise ProblemError(field, f"{name!r}: {parent.name} has no MIG slices; GPUs that have: {', '.join(_PROFILES)}")
    sms, memories, profiles = _PROFILES[family]
    whole = nominal_gigabytes(parent)
    shares = int(found["compute"]), round(int(found["gb"]) * memories / whole)
    if shares not in profiles:
        known = ", ".join(f"{g}g.{gigabytes(m, memories, whole)}gb" for g, m in profiles)
        raise ProblemError(field, f"{name!r} is no slice of {parent.name}; slices: {known}")
    compute, memory = shares[0] / sms, shares[1] / memories
    values: dict[str, Any] = parent.model_dump(exclude={"tdp_watts", "idle_watts", "reserved_as"})
    got = parent.process_mib * shares[1] // memories - RESERVED_MIB
    values |= {
        "name": f"{parent.name}-mig-{found['compute']}g.{found['gb']}gb",
        "memory_mib": got + RESERVED_MIB,
        "reserved_mib": RESERVED_MIB,
        "memory_bandwidth_gb_per_s": parent.memory_bandwidth_gb_per_s * memory,
        "dense_tflops": {kind: rate * compute for kind, rate in parent.dense_tflops.items()},
        "nvlink_gb_per_s": 0,
        "nvlink_domain_gpus": 1,
        "gpus_per_node": profiles[shares] * parent.gpus_per_node,
        "peer_links": False,
    }
    if family != "h100":
        values["reserved_as"] = "slices of H100"
    return GpuFacts.model_validate(values)


def family_of(parent: GpuFacts) -> str:
    """How a GPU's name begins, such as ``a100``: one of those that can be cut, else its first word."""
    return next((known for known in _PROFILES if parent.name.startswith(f"{known}-")), parent.name.split("-")[0])


def nominal_gigabytes(parent: GpuFacts) -> int:
    """What the name of a GPU says of its memory: 80 of an H100."""
    nominal = re.search(r"(\d+)gb", parent.name)
    return int(nominal.group(1)) if nominal else round(parent.memory_mib / 1024)


def gigabytes(part: int, parts: int, whole: int) -> int:
    """What the profile's name says: 1/8 of 141 GB is called 18gb."""
    return -(-whole * part // parts)
