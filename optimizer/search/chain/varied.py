"""Blocks beside the cheapest: column generation under prices that are varied at random, and the choice among all blocks met.

At the prices of the linear program the cheapest block of each length is the one that the program needs, which has to add up to whole
numbers of blocks and layers as well: what is short of that by a layer is found among blocks that are a little dearer. So prices are
multiplied by factors near one, per type and per number of layers; every block so found goes into one pool with the most that it
carries (its exact maximum flow, not the rate that it was made for), and CP-SAT chooses among all that carry more than the best
placement. What it chose carries the least of its blocks, so each choice raises the value to that of some block.

Only where no link binds, neither between nodes nor to the coordinator: blocks then stand in any order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from ortools.graph.python import max_flow

from optimizer.search.chain.blocks import LayerBlock, PricedNetworks
from optimizer.search.chain.instance import ChainInstance
from optimizer.search.chain.lp import Packing
from optimizer.search.common.solver import cp_model, new_solver, solve_stoppable

_LEVELS = 400
_AHEAD = (0.1, 0.3, 0.6, 0.02)
"""Where between value and bound blocks are made, in turn."""
_VARIATIONS = 10
"""Prices tried at each of them."""
_BY = (0.3, 0.15, 0.08)
"""How far factors of prices are from one, at most."""
_EFFORT = 3.0
"""CP-SAT's deterministic seconds for one choice."""
_PATIENCE = 150
"""Totals in turn without a better choice after which the search ends."""

Use = tuple[int, ...]


class BlockPool:
    """Blocks by length and nodes used, each the one that carries most."""

    def __init__(self, instance: ChainInstance) -> None:
        self._instance = instance
        self._carries: dict[tuple[int, Use], tuple[int, LayerBlock]] = {}

    def add(self, block: LayerBlock) -> None:
        """Keep a block that there are nodes for, unless one of its length with the same nodes carries as much."""
        use = block.use(len(self._instance.counts))
        if any(used > most for used, most in zip(use, self._instance.counts, strict=True)):
            return
        carries = carried_by_block(self._instance, block)
        if (block.length, use) not in self._carries or self._carries[block.length, use][0] < carries:
            self._carries[block.length, use] = carries, block

    def longest(self, total: int) -> dict[Use, tuple[int, LayerBlock]]:
        """For each use of nodes the longest block that carries a total, and what it carries."""
        found: dict[Use, tuple[int, LayerBlock]] = {}
        for (length, use), (carries, block) in self._carries.items():
            if carries >= total and (use not in found or found[use][1].length < length):
                found[use] = carries, block
        return found

    def prices(self, total: int) -> list[float]:
        """Of a node of each type, from the linear program over the blocks that carry a total."""
        program = Packing([float(most) for most in self._instance.counts])
        for use, (_, block) in self.longest(total).items():
            program.add(float(block.length), [float(used) for used in use])
        return program.solve()[1]

    def choose(self, total: int) -> list[LayerBlock] | None:
        """Blocks that carry a total through all layers with the nodes there are; None where no choice was found."""
        model, counts = cp_model.CpModel(), self._instance.counts
        offered = list(self.longest(total).items())
        times = [
            model.new_int_var(0, min(most // used for most, used in zip(counts, use, strict=True) if used), "")
            for use, _ in offered
        ]
        for kind, most in enumerate(counts):
            model.add(sum(use[kind] * y for (use, _), y in zip(offered, times, strict=True) if use[kind]) <= most)
        layers = sum(block.length * y for (_, (_, block)), y in zip(offered, times, strict=True))
        model.add(layers >= self._instance.layers)
        solver = new_solver(seed=1)
        solver.parameters.max_deterministic_time = _EFFORT
        status, interrupted = solve_stoppable(solver, model)
        if interrupted:
            raise KeyboardInterrupt
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        chosen = zip(offered, times, strict=True)
        return [block for (_, (_, block)), y in chosen for _ in range(int(solver.value(y)))]


def carried_by_block(instance: ChainInstance, block: LayerBlock) -> int:
    """The most that a block carries, thousandths of a token/s: the maximum flow over its boundaries."""
    solver = max_flow.SimpleMaxFlow()
    for part in block.parts:
        rate = instance.rate[part.kind][part.layers - 1]
        solver.add_arc_with_capacity(part.offset, part.offset + part.layers, rate)
    if solver.solve(0, block.length) != solver.OPTIMAL:
        raise RuntimeError("the flow of a block could not be computed; its capacities overflow")
    return int(solver.optimal_flow())


def vary(
    instance: ChainInstance,
    known: Iterable[LayerBlock],
    reached: Callable[[], int],
    bound: int,
    expired: Callable[[], bool],
    found: Callable[[list[LayerBlock]], object],
) -> None:
    """Look for choices of blocks that carry more than what is reached, until nothing better was met for long.

    Args:
        instance: one in which no link binds.
        known: blocks to begin with.
        reached: what the best placement carries now.
        bound: no placement carries more.
        expired: whether to stop.
        found: told of every better choice, in series from the first layer on.
    """
    pool, chance, since, turn = BlockPool(instance), random.Random(4), 0, 0
    for block in known:
        pool.add(block)
    while since < _PATIENCE and not expired():
        since, turn = since + 1, turn + 1
        total = reached() + max(1, int((bound - reached()) * _AHEAD[turn % len(_AHEAD)]))
        _more_blocks(instance, pool, total, chance, expired)
        while not expired() and (chosen := pool.choose(reached() + 1)) is not None:
            before = reached()
            found(chosen)
            if reached() <= before:
                break
            since = 0


def _more_blocks(
    instance: ChainInstance, pool: BlockPool, total: int, chance: random.Random, expired: Callable[[], bool]
) -> None:
    """The cheapest networks under the program's prices, and under prices near them, into the pool."""
    networks, prices = PricedNetworks(instance, instance.counts, total, _LEVELS), pool.prices(total)
    for variation in range(_VARIATIONS):
        by = chance.choice(_BY) if variation else 0.0
        factor = [chance.uniform(1 - by, 1 + by) for _ in prices]
        node_price = {
            (kind, layers): price * factor[kind] * chance.uniform(1 - by, 1 + by) + 1e-7
            for kind, price in enumerate(prices)
            for layers in range(1, len(instance.rate[kind]) + 1)
        }
        if expired():
            return
        for block, _ in networks.price(node_price):
            pool.add(block)
