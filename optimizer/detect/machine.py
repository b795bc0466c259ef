"""What was seen of a host: its GPUs, each with what speaks against using it, and how they reach each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Pair = tuple[int, int]

MIG = "split into MIG instances"
IDLE_MIB = 1024
"""Memory that an idle GPU may show in use: the driver's own, and the display's. A serving engine takes far more."""
BROKEN_WORDS = re.compile(r"ERR!|Unknown Error|GPU is lost|requires reset", re.IGNORECASE)
"""What nvidia-smi prints in place of a value once it cannot reach a GPU any more."""
PATHS = ("PIX", "PXB", "PHB", "NODE", "SYS")
"""PCIe paths between two GPUs, the shortest first, in the words of nvidia-smi topo -m."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A MIG slice of a GPU as it was seen; what an output does not tell is empty or 0."""

    profile: str
    """Such as ``3g.40gb``."""
    uuid: str = ""
    memory_mib: int = 0
    processors: int = 0
    """SMs."""
    used_mib: int = 0
    computing: int = 0


@dataclass(frozen=True, slots=True)
class SeenGpu:
    """One GPU. ``busy`` and ``faults`` are reasons not to plan with it, in words; empty: it is free."""

    index: int
    product: str
    architecture: str
    uuid: str
    memory_mib: int
    pcie_generation: int | None
    pcie_lanes: int | None
    fabric: str
    """Cluster and clique of a rack-scale NVLink fabric; empty where NVLink ends at the host."""
    busy: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    used_mib: int = 0
    computing: int = 0
    """Compute processes on it."""
    slices: tuple[Slice, ...] = ()
    """Of a GPU that is split into MIG instances."""

    @property
    def mostly_free(self) -> bool:
        """Whether it may be planned with what is left: nobody computes on it that can be seen, and half its memory is free."""
        return not self.computing and not self.mig and 2 * self.used_mib <= self.memory_mib

    @property
    def mig(self) -> bool:
        """Whether it is split into MIG instances."""
        return MIG in self.busy


@dataclass(frozen=True, slots=True)
class SeenHost:
    """One host. ``links`` holds ``NV18``, ``SYS`` and the like for each pair of positions in ``gpus``.

    ``lost`` GPUs are in the host but could not be reached at all; nothing is known of them but the reason.
    """

    name: str
    gpus: tuple[SeenGpu, ...]
    links: Mapping[Pair, str]
    lost: tuple[str, ...] = ()

    def nvlinks(self, a: int, b: int) -> int:
        """NVLinks between two GPUs; through a switch, those that each of them has."""
        kind = self.links.get((a, b), "")
        return int(kind[2:]) if kind.startswith("NV") else 0


def busy_words(used_mib: int, processes: int) -> tuple[str, ...]:
    """Why a GPU counts as busy, if it does."""
    if processes:
        return (f"{processes} {'process' if processes == 1 else 'processes'} on it, {used_mib:,} MiB in use",)
    if used_mib > IDLE_MIB:
        return (f"{used_mib:,} MiB in use by processes that cannot be seen from here",)
    return ()
