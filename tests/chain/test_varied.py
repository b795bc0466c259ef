"""Blocks under varied prices: what a block carries, what a pool chooses, and that the choice beats the linear program's own."""

from __future__ import annotations

from itertools import accumulate, count
from typing import Any

import pytest

from optimizer.reading.chain import chain_from_dict
from optimizer.search.chain.blocks import BlockPart, LayerBlock, uniform_blocks
from optimizer.search.chain.bound import upper_bound
from optimizer.search.chain.flow import route
from optimizer.search.chain.groups import as_one
from optimizer.search.chain.instance import ChainInstance, scaled
from optimizer.search.chain.place import place
from optimizer.search.chain.varied import BlockPool, carried_by_block, vary
from tests.chain.cases import generated

TWO: dict[str, Any] = {
    "kind": "chain",
    "model": {"layers": 4},
    "cluster": {
        "types": {
            "A": {"throughput_tokens_per_s_by_layers": {1: 100, 2: 40}},
            "B": {"throughput_tokens_per_s_by_layers": {1: 70, 2: 30, 3: 10}},
        },
        "nodes": [{"name": f"n{n}", "type": "AABBB"[n]} for n in range(5)],
    },
}
SIDE_BY_SIDE = LayerBlock(2, (BlockPart(0, 0, 1), BlockPart(0, 1, 1), BlockPart(1, 0, 2)))
"""100 over each layer by itself, and 30 past them: 130."""
IN_STEP = LayerBlock(2, (BlockPart(1, 0, 1), BlockPart(1, 1, 1)))


def test_a_block_carries_its_maximum_flow() -> None:
    instance = scaled(chain_from_dict(TWO))
    assert carried_by_block(instance, SIDE_BY_SIDE) == 130_000
    assert carried_by_block(instance, IN_STEP) == 70_000


@pytest.mark.parametrize(("total", "found"), [(70_000, True), (70_001, False), (130_000, False)])
def test_a_pool_chooses_what_carries_the_total_through_all_layers(total: int, found: bool) -> None:
    pool = BlockPool(scaled(chain_from_dict(TWO)))
    pool.add(SIDE_BY_SIDE)
    pool.add(IN_STEP)
    chosen = pool.choose(total)
    assert (chosen is not None) == found
    if chosen is not None:
        assert sorted(block.length for block in chosen) == [2, 2]


def test_a_pool_keeps_no_block_that_there_are_no_nodes_for() -> None:
    pool = BlockPool(scaled(chain_from_dict(TWO)))
    pool.add(LayerBlock(1, (BlockPart(0, 0, 1),) * 3))
    assert pool.longest(0) == {}


def test_varied_prices_lead_past_what_the_linear_programs_blocks_carry() -> None:
    """12 nodes of 6 types: blocks at the prices of the program alone end at 4,514.189 tokens/s."""
    instance = scaled(chain_from_dict(generated(2, 12, 6, layers=24)))
    bound, calls, best = upper_bound(instance, lambda: False).bound, count(), [4_514_189]

    def found(blocks: list[LayerBlock]) -> None:
        best.append(max(best[-1], _carried(instance, blocks)))

    known = uniform_blocks(instance, instance.counts, best[0])
    vary(instance, known, lambda: best[-1], bound, lambda: next(calls) > 20, found)
    assert best[0] < best[-1] <= bound


def _carried(instance: ChainInstance, blocks: list[LayerBlock]) -> int:
    starts = accumulate((block.length for block in blocks), initial=0)
    lane = [(0, at, block) for at, block in zip(starts, blocks, strict=False)]
    return route(instance, place(instance, as_one(instance, 10**9), lane)).value
