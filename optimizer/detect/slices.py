"""MIG slices: each becomes a GPU of its own, that reaches no other over a peer link.

``nvidia-smi -q -x`` tells of a slice its memory and its SMs (``mig_devices``), ``nvidia-smi -L`` its profile. How many SMs 3g and 4g
have differs by chip: https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html.
"""

from __future__ import annotations

from dataclasses import replace

from optimizer.catalog import lookup as catalog
from optimizer.detect.machine import SeenGpu, SeenHost, Slice, busy_words
from optimizer.facts.errors import ProblemError

EIGHTHS = 8
SEVENTHS = {1: (1, 2), 2: (1, 2), 4: (3, 4), 8: (7,)}
"""Eighths of the memory of a chip → sevenths of its SMs that its slices may have."""
QUARTERS = {2: (1,), 4: (2,), 8: (4,)}
"""The same of A30, which is cut into quarters."""


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
    for name in (parent.product, f"NVIDIA {parent.product}"):
        try:
            card = catalog.gpu(name)
            profile = one.profile or _profile(parent, one)
            facts = catalog.gpu(f"{card.name}-mig-{profile}")
        except ProblemError:
            continue
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
    return None


def _profile(parent: SeenGpu, one: Slice) -> str:
    """The profile of a slice of which memory and SMs are known, such as ``3g.40gb``.

    Raises:
        ProblemError: no profile has such a share of the memory.
    """
    eighths = round(EIGHTHS * one.memory_mib / parent.memory_mib) if parent.memory_mib else 0
    shares = QUARTERS if "A30" in parent.product.split("-")[0].split() else SEVENTHS
    if eighths not in shares:
        raise ProblemError("detect", f"{one.memory_mib:,} MiB are the memory of no slice of {parent.product}")
    fewer, more = shares[eighths][0], shares[eighths][-1]
    # SMs of a seventh: 14 (A100), 16 to 18 (H100 and later, whose 3g has nearly those of 4g).
    wide = {2: 24, 4: 62 if "A100" not in parent.product and "A800" not in parent.product else 50}.get(eighths, 0)
    sevenths = more if wide and one.processors >= wide else fewer
    return f"{sevenths}g.{-(-_nominal_gigabytes(parent) * eighths // EIGHTHS)}gb"


def _nominal_gigabytes(parent: SeenGpu) -> int:
    """What the catalog's name says: 80 of an H100."""
    for name in (parent.product, f"NVIDIA {parent.product}"):
        try:
            card = catalog.gpu(name).name
        except ProblemError:
            continue
        for word in card.split("-"):
            if word.endswith("gb") and word[:-2].isdigit():
                return int(word[:-2])
    return 0


def is_split(gpu: SeenGpu) -> bool:
    """Whether a GPU is in slices, which need no links."""
    return gpu.mig and bool(gpu.slices)
