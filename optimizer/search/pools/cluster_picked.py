"""What a search for pools on an inventory chooses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picked:
    """Options of both pools, group after group, and the groups whose nodes both share."""

    options: tuple[tuple[int, ...], tuple[int, ...]]
    together: frozenset[int]
