"""From hosts as they were seen to node groups: GPU type, free GPUs, NVLink domain and bandwidths, equal hosts together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from optimizer.catalog import lookup as catalog
from optimizer.catalog import mig
from optimizer.detect.cards import card_of
from optimizer.detect.machine import SeenGpu, SeenHost
from optimizer.detect.slices import apart
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts

COUNTED_MIB = 256
"""Memory in use below which a GPU counts as empty: the driver's own."""
ARCHITECTURES = {"7": "Volta", "8": "Ampere", "9": "Hopper", "10": "Blackwell", "12": "Blackwell"}
"""Of the first number of a compute capability, for outputs that leave the architecture out."""
MORE_MEMORY = 0.02
"""Share by which the memory seen may be above the catalog's and still be it; below, what was seen counts."""
GB_PER_S_PER_LANE = {1: 0.25, 2: 0.5, 3: 1.0, 4: 2.0, 5: 4.0, 6: 8.0}
"""PCI Express by generation, one direction, as vendors print it (x16 of generation 5: 64)."""


@dataclass(frozen=True, slots=True)
class HostPart:
    """The GPUs of one type in a host. ``free`` are the indices that may be used, whole NVLink domains first."""

    host: str
    gpu: str
    memory_mib: int
    """Of the GPU with the least, where that is not the catalog's; 0: it is."""
    gpus: int
    free: tuple[int, ...]
    nvlink_domain_gpus: int
    nvlink_gb_per_s: float | None
    """None: there are links, and what they carry is not known of this card."""
    pcie_gb_per_s: float | None
    fabric: str
    unusable: tuple[str, ...]
    """Why GPUs are left out, one sentence each."""
    remarks: tuple[str, ...]
    known: bool = True
    """Whether the catalog has the card; else ``gpu`` is made of its product name, and ``memory_mib`` is what was seen."""
    used_mib: tuple[int, ...] = ()
    """Memory that other processes hold on each of ``free``; empty: none that counts."""

    @property
    def likeness(self) -> tuple[Any, ...]:
        """Parts with the same likeness are nodes of one group."""
        links = self.nvlink_domain_gpus, self.nvlink_gb_per_s, self.pcie_gb_per_s
        return (self.gpu, self.memory_mib, self.gpus, len(self.free), self.used_mib, *links)


def parts_of(hosts: Sequence[SeenHost], *, busy_counts: bool) -> list[HostPart]:
    """Every host, taken apart by GPU type.

    Args:
        busy_counts: a GPU that other processes use cannot be planned with.

    Raises:
        ProblemError: a GPU is not in the catalog, or two outputs are of the same host.
    """
    seen: dict[str, str] = {}
    for host in hosts:
        for gpu in host.gpus:
            if gpu.uuid.startswith("GPU-") and seen.setdefault(gpu.uuid, host.name) != host.name:
                raise ProblemError(
                    "--smi", f"{seen[gpu.uuid]} and {host.name} both have {gpu.uuid}; give the output of each host once"
                )
    parts = [part for host in hosts for part in _parts(apart(host), busy_counts)]
    sizes: Counter[str] = Counter()
    for part in parts:
        sizes[part.fabric] += part.gpus
    return [_in_rack(part, sizes[part.fabric]) for part in parts]


def _in_rack(part: HostPart, fabric_gpus: int) -> HostPart:
    """A rack-scale fabric joins the hosts that are in it; only those that were seen count."""
    if not part.fabric or part.nvlink_domain_gpus < part.gpus:
        return part
    return replace(part, nvlink_domain_gpus=fabric_gpus)


def _parts(host: SeenHost, busy_counts: bool) -> list[HostPart]:
    types: dict[str, list[int]] = {}
    for position, gpu in enumerate(host.gpus):
        if gpu.product and gpu.memory_mib and not _broken_name(gpu):
            types.setdefault(_card_name(gpu), []).append(position)
    if not types:
        raise ProblemError("--smi", f"{host.name}: no GPU of this host tells its name and memory")
    # GPUs that cannot be reached count as GPUs of the host's first type that are not free.
    known = {position for positions in types.values() for position in positions}
    nameless = [position for position in range(len(host.gpus)) if position not in known]
    parts = []
    for number, (name, positions) in enumerate(types.items()):
        lost = host.lost if number == 0 else ()
        parts.append(_part(host, name, sorted([*positions, *(nameless if number == 0 else [])]), lost, busy_counts))
    return parts


def _broken_name(gpu: SeenGpu) -> bool:
    return bool(gpu.faults) and gpu.product.strip("[]").upper() in {"N/A", "ERR!", "UNKNOWN ERROR", "GPU IS LOST"}


def _part(host: SeenHost, name: str, positions: list[int], lost: tuple[str, ...], busy_counts: bool) -> HostPart:
    unusable, free = [], []
    for position in positions:
        gpu = host.gpus[position]
        reasons = (*gpu.faults, *(gpu.busy if busy_counts and not gpu.mostly_free else ()))
        if reasons:
            unusable.append(f"GPU {gpu.index}: {'; '.join(reasons)}")
        else:
            free.append(position)
    unusable += list(lost)
    whole = [position for position in positions if not host.gpus[position].faults]
    domains, remarks = _domains(host, whole)
    domain = max(map(len, domains), default=1)
    sample = next(host.gpus[p] for p in positions if host.gpus[p].memory_mib)
    size = len(positions) + len(lost)
    if whole and len(domains) == 1 and len(domains[0]) == len(whole) and len(whole) > 1:
        # One mesh over every GPU that answers: the host's domain is the whole host.
        domain = size
    order = {position: rank for rank, group in enumerate(_whole_first(domains, set(free))) for position in group}
    facts = _facts(name)
    least = min(host.gpus[p].memory_mib for p in positions if host.gpus[p].memory_mib)
    usual = facts is not None and facts.memory_mib <= least <= (1 + MORE_MEMORY) * facts.memory_mib
    ranked = sorted(free, key=lambda p: (order.get(p, len(order)), p))
    used = tuple(host.gpus[p].used_mib if host.gpus[p].used_mib > COUNTED_MIB else 0 for p in ranked)
    return HostPart(
        host=host.name,
        gpu=name,
        memory_mib=0 if usual else least,
        gpus=size,
        free=tuple(host.gpus[p].index for p in ranked),
        nvlink_domain_gpus=domain,
        nvlink_gb_per_s=_nvlink_gb_per_s(host, domains, sample, facts) if domain > 1 else 0.0,
        pcie_gb_per_s=_pcie_gb_per_s([host.gpus[p] for p in positions]),
        fabric=sample.fabric,
        unusable=tuple(unusable),
        remarks=tuple(remarks),
        known=facts is not None,
        used_mib=used if busy_counts and any(used) else (),
    )


def _whole_first(domains: list[list[int]], free: set[int]) -> list[list[int]]:
    """Domains with the most free GPUs first, so that consecutive free GPUs share one."""
    return sorted(domains, key=lambda group: (-len(free & set(group)), group))


def _domains(host: SeenHost, positions: list[int]) -> tuple[list[list[int]], list[str]]:
    """Sets of GPUs that all reach each other over NVLink, and what is odd about them."""
    remarks = []
    left, groups = list(positions), []
    while left:
        reach, front = {left[0]}, [left[0]]
        while front:
            here = front.pop()
            for other in left:
                if other not in reach and host.nvlinks(here, other):
                    reach.add(other)
                    front.append(other)
        groups.append(sorted(reach))
        left = [position for position in left if position not in reach]
    meshes: list[list[int]] = []
    for group in groups:
        size = next(k for k in range(len(group), 0, -1) if _all_mesh(host, _chunks(group, k)))
        if size < len(group):
            remarks.append(
                f"NVLink does not join every pair of its {len(group)} connected GPUs; domains of {size} are planned with"
            )
        meshes += _chunks(group, size)
    across = {host.links.get((a, b), "") for a in positions for b in positions if a < b and not host.nvlinks(a, b)}
    if "SYS" in across:
        remarks.append(
            "some of its GPUs reach each other only across the link between the processors (SYS), "
            "which the plan counts as PCIe"
        )
    return meshes, remarks


def _chunks(group: list[int], size: int) -> list[list[int]]:
    return [group[start : start + size] for start in range(0, len(group), size)]


def _all_mesh(host: SeenHost, chunks: list[list[int]]) -> bool:
    return all(host.nvlinks(a, b) for chunk in chunks for a in chunk for b in chunk if a != b)


def _nvlink_gb_per_s(host: SeenHost, domains: list[list[int]], sample: SeenGpu, facts: GpuFacts | None) -> float | None:
    """Per GPU, both directions: its links to the others of its domain, or to a switch, which all pairs share.

    None where neither the card nor its architecture tells what a link carries.
    """
    found_links = _nvlink_of(sample.architecture, facts)
    if found_links is None:
        return None
    per_link, links = found_links
    found = []
    for domain in domains:
        for here in domain if len(domain) > 1 else []:
            counts = [host.nvlinks(here, other) for other in domain if other != here]
            direct = sum(counts) <= links
            found.append((sum(counts) if direct else min(counts)) * per_link)
    return min(found)


@cache
def _nvlinks_known() -> dict[str, dict[str, dict[str, float]]]:
    import yaml

    with (catalog.DATA / "nvlink.yaml").open("rb") as stream:
        found: dict[str, dict[str, dict[str, float]]] = yaml.safe_load(stream)
    return found


def _nvlink_of(architecture: str, facts: GpuFacts | None) -> tuple[float, int] | None:
    """(GB/s of a link, both directions; links of a GPU), by the card where it is known, else by what nvidia-smi calls it."""
    known = _nvlinks_known()
    one = known["capabilities"].get(facts.capability) if facts else None
    if one is None and facts is not None:
        architecture = architecture or ARCHITECTURES.get(facts.capability.split(".")[0], "")
    one = one or known["architectures"].get(architecture)
    return (one["gb_per_s_per_link"], int(one["links"])) if one else None


def _pcie_gb_per_s(gpus: list[SeenGpu]) -> float | None:
    """The slowest of the GPUs, one direction; None where none tells."""
    found = [
        GB_PER_S_PER_LANE[gpu.pcie_generation] * gpu.pcie_lanes
        for gpu in gpus
        if gpu.pcie_generation in GB_PER_S_PER_LANE and gpu.pcie_lanes
    ]
    return min(found, default=None)


def _facts(name: str) -> GpuFacts | None:
    """Of a card of the catalog or a slice of one; None: it has no such card."""
    return catalog.gpu(name) if name in catalog.names("gpus") or mig.NAME.fullmatch(name) else None


def _card_name(gpu: SeenGpu) -> str:
    """The catalog's name of a card, or one made of its product name where the catalog does not have it."""
    if mig.NAME.fullmatch(gpu.product):
        return gpu.product
    card = card_of(gpu.product)
    return (
        card.name if card is not None else re.sub(r"[^a-z0-9]+", "-", gpu.product.lower()).strip("-") or "unknown-gpu"
    )
