"""From the parts of hosts to the hardware part of a problem file: ``hardware:`` for equal hosts, else ``cluster:``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optimizer.catalog import lookup as catalog
from optimizer.detect.hardware import HostPart
from optimizer.detect.unknown import closest_card, hints, unknown_card
from optimizer.facts.errors import ProblemError
from optimizer.facts.file import HardwareInput
from optimizer.facts.hardware import GpuFacts


@dataclass(frozen=True, slots=True)
class Detected:
    """``values`` is part of a problem file; ``remarks`` are sentences that a reader of it needs.

    ``hints`` say what the closest known card has where a figure is null and has to be completed.
    """

    values: dict[str, Any]
    remarks: tuple[str, ...]
    hints: dict[str, str] = field(default_factory=dict)


def detected(parts: Sequence[HostPart], internode_gbit_per_s: float | None) -> Detected:
    """Hosts as groups of equal nodes.

    Args:
        parts: of at least one host.
        internode_gbit_per_s: network of one node; None where it is not known (nvidia-smi does not tell).

    Raises:
        ProblemError: no GPU is free.
    """
    usable = [part for part in parts if part.free]
    if not usable:
        why = " ".join(f"{part.host}: {'; '.join(part.unusable)}." for part in parts)
        raise ProblemError("detect", f"no GPU is free. {why} Use --ignore-busy to plan with the busy ones")
    groups: dict[tuple[Any, ...], list[HostPart]] = {}
    for part in usable:
        groups.setdefault(part.likeness, []).append(part)
    for alike in groups.values():
        # Nodes of one rack-scale NVLink fabric are counted one after the other.
        alike.sort(key=lambda part: part.fabric)
    entries = [_entry(alike, internode_gbit_per_s) for alike in groups.values()]
    one = len(entries) == 1 and len(usable[0].free) == usable[0].gpus
    names = ["node"] if one else _names(entries)
    remarks = _remarks(parts, list(zip(names, groups.values(), strict=True)), internode_gbit_per_s)
    if one:
        if usable[0].known and usable[0].nvlink_gb_per_s is not None:
            HardwareInput.model_validate(entries[0])
        return Detected({"hardware": entries[0]}, remarks, _hints(usable))
    for entry, (name, alike) in zip(entries, zip(names, groups.values(), strict=True), strict=True):
        if len(alike[0].free) < alike[0].gpus:
            entry["free_gpus"] = len(alike[0].free)
        entry["name"] = name
    ordered = ("name", "gpu", "nodes", "gpus_per_node", "free_gpus")
    cluster = [{**{key: entry[key] for key in ordered if key in entry}, **entry} for entry in entries]
    return Detected({"cluster": cluster, **_shared_hosts(names, list(groups.values()))}, remarks, _hints(usable))


def _hints(parts: Sequence[HostPart]) -> dict[str, str]:
    """What the cards closest to unknown ones have, by field."""
    found: dict[str, str] = {}
    for part in parts:
        if not part.known:
            found.update(hints(unknown_card(part), closest_card(part)))
    return found


def _rates(gpu: GpuFacts) -> str:
    return ", ".join(f"{rate:g} {name}" for name, rate in gpu.dense_tflops.items())


def _entry(alike: list[HostPart], internode_gbit_per_s: float | None) -> dict[str, Any]:
    part = alike[0]
    gpu: Any = part.gpu
    if not part.known:
        gpu = unknown_card(part)
    elif part.memory_mib:
        name = f"{part.gpu}-{part.memory_mib}mib"
        facts = catalog.gpu(part.gpu)
        gpu = facts.model_copy(update={"name": name, "memory_mib": part.memory_mib}).model_dump(exclude_none=True)
    entry = {
        "gpu": gpu,
        "nodes": len(alike),
        "gpus_per_node": part.gpus,
        "nvlink_domain_gpus": part.nvlink_domain_gpus,
        "nvlink_gb_per_s": None if part.nvlink_gb_per_s is None else _whole(part.nvlink_gb_per_s),
        "pcie_gb_per_s": None if part.pcie_gb_per_s is None else _whole(part.pcie_gb_per_s),
        "internode_gbit_per_s": None if internode_gbit_per_s is None else _whole(internode_gbit_per_s),
    }
    if part.used_mib:
        entry["memory_used_mib"] = list(part.used_mib) if len(set(part.used_mib)) > 1 else part.used_mib[0]
    kept = {key: value for key, value in entry.items() if value is not None}
    return kept if part.nvlink_gb_per_s is not None else {**kept, "nvlink_gb_per_s": None}


def _whole(value: float) -> float | int:
    return int(value) if math.isfinite(value) and value == int(value) else value


def _names(entries: list[dict[str, Any]]) -> list[str]:
    """Short names: the GPU's, numbered where several groups have it."""
    plain = [entry["gpu"] if isinstance(entry["gpu"], str) else entry["gpu"]["name"] for entry in entries]
    return [
        name
        if plain.count(name) == 1
        else f"{name}-{chr(97 + plain[:position].count(name))}"
        if plain.count(name) <= 26
        else f"{name}-{plain[:position].count(name)}"
        for position, name in enumerate(plain)
    ]


def _shared_hosts(names: list[str], groups: list[list[HostPart]]) -> dict[str, Any]:
    """Hosts with GPUs of several types: their groups fail together."""
    homes: dict[str, list[str]] = {}
    for name, alike in zip(names, groups, strict=True):
        for part in alike:
            homes.setdefault(part.host, []).append(name)
    shared = {host: found for host, found in homes.items() if len(found) > 1}
    return {"domains": {"host": shared}} if shared else {}


def _remarks(
    parts: Sequence[HostPart], groups: list[tuple[str, list[HostPart]]], internode_gbit_per_s: float | None
) -> tuple[str, ...]:
    said = []
    for name, alike in groups:
        for number, part in enumerate(alike):
            some = f"free GPUs {', '.join(map(str, part.free))}"
            free = some if part.unusable else f"all {part.gpus} GPUs free"
            said.append(f"{name}-{number} is host {part.host}, {free}.")
    for part in parts:
        said += [f"{part.host}: left out: {reason}." for reason in part.unusable]
        said += [f"{part.host}: {remark}." for remark in part.remarks]
        if not part.free:
            said.append(f"{part.host} is left out: none of its GPUs is free.")
        if part.used_mib:
            held = ", ".join(f"{used:,}" for used in part.used_mib)
            said.append(
                f"{part.host}: other processes hold {held} MiB of its free GPUs; an engine is planned with what the fullest has left."
            )
        if not part.known:
            near = closest_card(part)
            said.append(
                f"{part.host}: {part.gpu} is not in the catalog; its topology is kept, and the figures that nvidia-smi does not "
                f"tell (null) are to be completed from its datasheet. The closest card known, {near.name}, has "
                f"{near.memory_bandwidth_gb_per_s:g} GB/s and {_rates(near)} dense TFLOP/s."
            )
        elif part.memory_mib:
            usual = catalog.gpu(part.gpu).memory_mib
            said.append(
                f"{part.host}: its GPUs have {part.memory_mib:,} MiB where {part.gpu} usually has {usual:,}; "
                "their facts are stated inline."
            )
        if part.fabric:
            said.append(f"{part.host} is in NVLink fabric {part.fabric}; only the hosts given here count.")
    if internode_gbit_per_s is None and len({part.host for part in parts}) > 1:
        said.append(
            "The network between the hosts is not in this output: set internode_gbit_per_s, else that of usual nodes is taken."
        )
    return tuple(said)
