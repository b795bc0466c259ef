"""MIG slices: each becomes a GPU of its own, that reaches no other over a peer link.

``nvidia-smi -q -x`` tells of a slice its memory and its SMs (``mig_devices``), ``nvidia-smi -L`` its profile. How many SMs 3g and 4g
have differs by chip: https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html.
"""

from __future__ import annotations

from dataclasses import replace

from optimizer.catalog import lookup as catalog
from optimizer.catalog import mig
from optimizer.detect.cards import card_of
from optimizer.detect.machine import SeenGpu, SeenHost, Slice, busy_words
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts

EIGHTHS = 8
SEVENTHS = {1: (1, 2), 2: (1, 2), 4: (3, 4), 8: (7,)}
"""Eighths of the memory of a chip → sevenths of its SMs that its slices may have."""
QUARTERS = {2: (1,), 4: (2,), 8: (4,)}
"""The same of what is cut into quarters."""


def apart(host: SeenHost) -> SeenHost:
    """A host with the slices of its split GPUs in their place; a GPU whose slices are not known stays, as one that is in use."""
    if not any(gpu.slices for gpu in host.gpus):
        return host
    gpus: list[SeenGpu] = []
    at: dict[int, int] = {}
    for position, gpu in enumerate(host.gpus):
        cut = [_as_gpu(gpu, one) for one in gpu.slices]
        if not cut or any(one is None for one in cut):
            at[position] = len(gpus)
            gpus.append(gpu)
        else:
            gpus += [one for one in cut if one is not None]
    links = {(at[a], at[b]): kind for (a, b), kind in host.links.items() if a in at and b in at}
    return replace(host, gpus=tuple(gpus), links=links)


def _as_gpu(parent: SeenGpu, one: Slice) -> SeenGpu | None:
    """A slice as a GPU; None where the catalog has no such slice."""
    card = card_of(parent.product)
    profile = one.profile or (_profile(parent, card, one) if card is not None else None)
    if card is None or profile is None:
        return None
    try:
        facts = catalog.gpu(f"{card.name}-mig-{profile}")
    except ProblemError:
        return None
    return replace(
        parent,
        product=facts.name,
        uuid=one.uuid,
        memory_mib=facts.memory_mib,
        fabric="",
        busy=busy_words(one.used_mib, one.computing),
        used_mib=one.used_mib,
        computing=one.computing,
        slices=(),
    )


def _profile(parent: SeenGpu, card: GpuFacts, one: Slice) -> str | None:
    """The profile of a slice of which memory and SMs are known, such as ``3g.40gb``; None: none has such a share of the memory."""
    eighths = round(EIGHTHS * one.memory_mib / parent.memory_mib) if parent.memory_mib else 0
    shares = QUARTERS if mig.family_of(card) in ("a30", "rtx-pro-6000") else SEVENTHS
    if eighths not in shares:
        return None
    fewer, more = shares[eighths][0], shares[eighths][-1]
    # SMs of a seventh: 14 (A100), 16 to 18 (H100 and later, whose 3g has nearly those of 4g).
    wide = {2: 24, 4: 50 if mig.family_of(card) in ("a100", "a800") else 62}.get(eighths, 0)
    sevenths = more if wide and one.processors >= wide else fewer
    return f"{sevenths}g.{mig.gigabytes(eighths, EIGHTHS, mig.nominal_gigabytes(card))}gb"


def is_split(gpu: SeenGpu) -> bool:
    """Whether a GPU is in slices, which need no links."""
    return gpu.mig and bool(gpu.slices)
