"""Saved output of ``nvidia-smi -L``: names of GPUs and the MIG slices they are split into, nothing of memory in use or links."""

from __future__ import annotations

import re
from dataclasses import replace

from optimizer.detect.cards import card_of
from optimizer.detect.machine import MIG, SeenGpu, Slice
from optimizer.facts.errors import ProblemError

GPU = re.compile(r"^GPU (\d+): (.+?) \(UUID: ([^)]+)\)\s*$")
SLICE = re.compile(r"^\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: ([^)]+)\)\s*$")
MOST_GPUS = 64


def is_listing(text: str) -> bool:
    """Whether a text is such output."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return GPU.match(first) is not None


def parse_listing(text: str, source: str, field: str = "--smi") -> tuple[SeenGpu, ...]:
    """The GPUs of one host in their order; memory is that of the catalog, since the output tells none.

    Raises:
        ProblemError: a line is none of such output, or a GPU is not in the catalog.
    """
    gpus: list[SeenGpu] = []
    slices: dict[int, list[Slice]] = {}
    for line in filter(str.strip, text.splitlines()):
        gpu, cut = GPU.match(line), SLICE.match(line)
        if gpu is not None and len(gpus) < MOST_GPUS:
            gpus.append(_seen(gpu, source, field))
        elif cut is not None and gpus:
            slices.setdefault(len(gpus) - 1, []).append(Slice(profile=cut[1], uuid=cut[3]))
        else:
            raise ProblemError(field, f"{source} is not the output of nvidia-smi -L: {line.strip()[:80]!r}")
    return tuple(_split(gpu, tuple(slices.get(at, ()))) for at, gpu in enumerate(gpus))


def _seen(found: re.Match[str], source: str, field: str) -> SeenGpu:
    card = card_of(found[2])
    if card is None:
        raise ProblemError(
            field,
            f"{source}: {found[2]} is not in the catalog, and nvidia-smi -L tells no memory; give nvidia-smi -q -x",
        )
    return SeenGpu(int(found[1]), found[2], "", found[3], card.memory_mib, None, None, "")


def _split(gpu: SeenGpu, slices: tuple[Slice, ...]) -> SeenGpu:
    return replace(gpu, busy=(MIG,), slices=slices) if slices else gpu
