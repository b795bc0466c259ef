"""Nodes that hold the same in the same places: a picture draws one of them and names the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence

from optimizer.results.placement import GpuPlace

Seat = tuple[int, Hashable]
"""The instance on a GPU, counted from 0, and what it does there."""


def alike(nodes: Sequence[str], pattern: Callable[[str], Hashable]) -> list[list[str]]:
    """Nodes by what ``pattern`` says of them, each list in the order given; lists by their first node."""
    found: dict[Hashable, list[str]] = {}
    for node in nodes:
        found.setdefault(pattern(node), []).append(node)
    return list(found.values())


def pattern_of(node: str, gpus: int, taken: Mapping[GpuPlace, Seat]) -> Hashable:
    """What stands on each GPU of a node, instances counted from the node's first GPU on: equal for nodes that look alike."""
    local: dict[int, int] = {}
    seats: list[Hashable] = []
    for index in range(gpus):
        seat = taken.get(GpuPlace(node, index))
        seats.append(None if seat is None else (local.setdefault(seat[0], len(local)), seat[1]))
    return tuple(seats)


def names(nodes: Sequence[str]) -> str:
    """``node-0…10, same`` for nodes that are drawn once; those that follow each other in short."""
    if len(nodes) == 1:
        return nodes[0]
    numbers = [re.fullmatch(r"(.*?)(\d+)", node) for node in nodes]
    heads = {found.group(1) for found in numbers if found}
    if all(numbers) and len(heads) == 1:
        return f"{heads.pop()}{_runs([int(found.group(2)) for found in numbers if found])}, same"
    return f"{nodes[0]} and {len(nodes) - 1} more, same"


def _runs(numbers: Sequence[int]) -> str:
    """``0…10``, ``0…3, 6``, ``0, 2, 4 … 30``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]}…{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words if len(words) <= 4 else [*words[:3], f"… {words[-1]}"])
