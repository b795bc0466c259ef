"""Blocks: small networks of nodes that carry a whole rate over a run of layers, and put in series make a placement.

Blocks in series meet at one boundary only, so their order does not matter and a placement is a choice of blocks whose
lengths add up to the layers: all symmetry of position is gone. Two families are generated for a given rate:

- uniform: nodes side by side over the same layers, every minimal choice (``uniform_blocks``);
- series-parallel: the cheapest network under prices of the nodes, by dynamic programming over (layers, rate), for
  column generation (``PricedNetworks``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.search.chain.instance import ChainInstance

NEVER = 1e18
LONGEST_BLOCK = 24
"""Longest series-parallel block, in layers, beyond the longest single node."""
MOST_COVERS = 4_000
"""Uniform blocks kept for one length."""


@dataclass(frozen=True, slots=True)
class BlockPart:
    """A node of a type in a block: its first layer counted from the block's, and how many it holds."""

    kind: int
    offset: int
    layers: int


@dataclass(frozen=True, slots=True)
class LayerBlock:
    """A network over ``length`` layers."""

    length: int
    parts: tuple[BlockPart, ...]

    def use(self, kinds: int) -> tuple[int, ...]:
        """Nodes of each type."""
        used = [0] * kinds
        for part in self.parts:
            used[part.kind] += 1
        return tuple(used)

    def longest(self, instance: ChainInstance) -> tuple[int, int]:
        """Most nodes, and most microseconds in nodes, on any way through the block."""
        stages = [0] * (self.length + 1)
        micros = [0] * (self.length + 1)
        for part in sorted(self.parts, key=lambda p: p.offset):
            end = part.offset + part.layers
            own = instance.stage_us[part.kind][part.layers - 1]
            stages[end] = max(stages[end], stages[part.offset] + 1)
            micros[end] = max(micros[end], micros[part.offset] + own)
        return stages[-1], micros[-1]


def uniform_blocks(
    instance: ChainInstance, counts: tuple[int, ...], rate: int, ceiling: int | None = None
) -> Iterator[LayerBlock]:
    """Every minimal choice of nodes that together carry a rate over the same layers.

    ``ceiling``: the most that one node may carry, where its links allow no more.
    """
    longest = max((len(table) for table, count in zip(instance.rate, counts, strict=True) if count), default=0)
    for layers in range(1, longest + 1):
        items = []
        for kind, table in enumerate(instance.rate):
            if counts[kind] and layers <= len(table) and table[layers - 1] > 0:
                carries = table[layers - 1] if ceiling is None else min(ceiling, table[layers - 1])
                items.append((carries, kind, counts[kind]))
        items.sort(reverse=True)
        for number, cover in enumerate(_covers(items, rate)):
            if number >= MOST_COVERS:
                break
            yield LayerBlock(layers, tuple(BlockPart(kind, 0, layers) for kind, times in cover for _ in range(times)))


def _covers(items: list[tuple[int, int, int]], need: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Choices (kind, times) of items (carries, kind, at most) that reach a need, minimal in their smallest item."""
    if sum(carries * most for carries, _, most in items) < need:
        return
    (carries, kind, most), others = items[0], items[1:]
    enough = -(-need // carries)
    if enough <= most:
        yield ((kind, enough),)
    for times in range(min(enough - 1, most), -1, -1):
        for rest in _covers(others, need - times * carries):
            yield ((kind, times), *rest) if times else rest


class PricedNetworks:
    """Cheapest series-parallel networks that carry at least a rate over 1, 2, ... layers.

    Rates are counted in ``levels`` equal steps, a node's rounded down, so every network found carries the whole rate.
    """

    def __init__(self, instance: ChainInstance, counts: tuple[int, ...], rate: int, levels: int) -> None:
        self.levels = levels
        kinds = [kind for kind, count in enumerate(counts) if count]
        reach = max((len(instance.rate[kind]) for kind in kinds), default=0)
        self.longest = min(instance.layers, max(LONGEST_BLOCK, reach))
        self._single: dict[int, list[tuple[int, int]]] = {}
        for layers in range(1, self.longest + 1):
            self._single[layers] = [
                (kind, min(levels, instance.rate[kind][layers - 1] * levels // rate))
                for kind in kinds
                if layers <= len(instance.rate[kind])
            ]
        size = (self.longest + 1, levels + 1)
        self._line: NDArray[np.float64] = np.full(size, NEVER)
        self._cost: NDArray[np.float64] = np.full(size, NEVER)
        self._made: NDArray[np.int64] = np.zeros(size, dtype=np.int64)
        self._first: NDArray[np.int64] = np.zeros(size, dtype=np.int64)

    def price(self, node_price: dict[tuple[int, int], float]) -> Iterator[tuple[LayerBlock, float]]:
        """The cheapest network of each length and its cost, for a price of each (type, layers held)."""
        for layers in range(1, self.longest + 1):
            self._lines(layers, node_price)
            self._side_by_side(layers)
            cost = float(self._cost[layers][self.levels])
            if cost < NEVER:
                parts: list[BlockPart] = []
                self._unfold(layers, self.levels, 0, parts)
                key = sorted(parts, key=lambda part: (part.offset, part.layers, part.kind))
                yield LayerBlock(layers, tuple(key)), cost

    def _lines(self, layers: int, node_price: dict[tuple[int, int], float]) -> None:
        """One node, or two networks in series."""
        line: NDArray[np.float64] = np.full(self.levels + 1, NEVER)
        made: NDArray[np.int64] = np.zeros(self.levels + 1, dtype=np.int64)
        for kind, level in self._single[layers]:
            cost = node_price[kind, layers]
            better = cost < line[1 : level + 1]
            line[1 : level + 1][better] = cost
            made[1 : level + 1][better] = -(kind + 1)
        for first in range(1, layers // 2 + 1):
            both = self._cost[first] + self._cost[layers - first]
            better = both < line - 1e-12
            line[better] = both[better]
            made[better] = first
        line[0] = NEVER
        self._line[layers], self._made[layers] = line, made

    def _side_by_side(self, layers: int) -> None:
        """Lines in parallel: an unbounded knapsack over the rates at which the cost of a line rises."""
        line = self._line[layers]
        above = np.append(line[2:], NEVER * 2)
        steps = 1 + np.flatnonzero((line[1:] < NEVER) & (above > line[1:] + 1e-12))
        cost, first = line.copy(), np.zeros(self.levels + 1, dtype=np.int64)
        cost[0] = 0.0
        if len(steps):
            prices = line[steps]
            for level in range(1, self.levels + 1):
                total = prices + cost[np.maximum(0, level - steps)]
                best = int(np.argmin(total))
                if total[best] < cost[level] - 1e-12:
                    cost[level], first[level] = total[best], steps[best]
        self._cost[layers], self._first[layers] = cost, first

    def _unfold(self, layers: int, level: int, offset: int, parts: list[BlockPart]) -> None:
        while level > 0:
            step = int(self._first[layers][level]) or level
            made = int(self._made[layers][step])
            if made < 0:
                parts.append(BlockPart(-made - 1, offset, layers))
            else:
                self._unfold(made, step, offset, parts)
                self._unfold(layers - made, step, offset + made, parts)
            level -= step
