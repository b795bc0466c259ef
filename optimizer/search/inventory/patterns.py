"""Ways to fill one node with parts of instances: every multiset of part sizes to which nothing more can be added."""

from __future__ import annotations

from collections.abc import Sequence

MOST_PATTERNS = 5_000


def patterns(parts: Sequence[tuple[int, int]], free: int, domain: int) -> list[tuple[int, ...]]:
    """Counts of each part, for every fullest filling of a node.

    Args:
        parts: (GPUs, TP width) of each part; a part's TP groups each stay within one NVLink domain.
        free: GPUs of the node that may be used.
        domain: GPUs of each NVLink domain of the node.

    Raises:
        ValueError: more than ``MOST_PATTERNS``.
    """
    found: set[tuple[int, ...]] = set()
    order = sorted(range(len(parts)), key=lambda i: (-parts[i][1], -parts[i][0]))
    domains = [min(domain, free - start) for start in range(0, free, domain)]

    def extend(counts: list[int], left: list[int], start: int) -> None:
        for position in range(start, len(order)):
            part = order[position]
            rest = _packed(left, parts[part])
            if rest is not None:
                counts[part] += 1
                extend(counts, rest, position)
                counts[part] -= 1
        if not any(_packed(left, part) is not None for part in parts):
            found.add(tuple(counts))
            if len(found) > MOST_PATTERNS:
                raise ValueError(f"more than {MOST_PATTERNS:,} ways to fill a node")

    extend([0] * len(parts), domains, 0)
    return sorted(found, reverse=True)


def _packed(left: list[int], part: tuple[int, int]) -> list[int] | None:
    """GPUs left by domain once the part is in, its TP groups in the tightest domains that fit; None when it does not fit."""
    gpus, tp = part
    rest = list(left)
    for _ in range(gpus // tp):
        fitting = [position for position, size in enumerate(rest) if size >= tp]
        if not fitting:
            return None
        rest[min(fitting, key=lambda position: rest[position])] -= tp
    return rest
