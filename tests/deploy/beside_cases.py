"""Joint instances beside pools as they are launched, made without solving."""

from __future__ import annotations

from functools import cache
from typing import Any

from optimizer.deployment.chosen import chosen_of_pools
from optimizer.deployment.options import resolve_options, with_hosts
from optimizer.deployment.side_by_side import BothParts, beside_of, side_by_side_files
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import BesideSplit, joint_part, pools_part
from optimizer.results.answer import Strategy
from optimizer.results.place_beside import joint_place, pools_place
from optimizer.results.placement import place_evenly
from optimizer.results.pools import PoolsStrategy, PoolStrategy
from tests.deploy.cases import LLAMA, placed, problem, strategy
from tests.deploy.pool_cases import answer_of

Shape = tuple[int, int, int, int]
"""Instances, TP, max_num_seqs, nodes."""
Joint = dict[str, int]

CASES: dict[str, tuple[int, str, BesideSplit, Joint, Shape, Shape]] = {
    "one node": (1, "NVLink", BesideSplit(2, 2), {"tp": 1, "pp": 1, "dp": 2, "n": 17}, (2, 2, 4, 1), (1, 2, 64, 1)),
    "nodes apart": (3, "network", BesideSplit(3, 1), {"tp": 8, "pp": 1, "dp": 1, "n": 40}, (2, 4, 4, 1), (1, 8, 48, 1)),
    "over nodes": (4, "network", BesideSplit(5, 2), {"tp": 8, "pp": 2, "dp": 1, "n": 24}, (1, 8, 4, 1), (2, 4, 48, 1)),
}  # fmt: skip


def beside(case: str, engine: str = "vllm", name: str = "") -> tuple[Problem, BothParts, Strategy, PoolsStrategy]:
    """A case: the problem, what is launched and the decisions of both parts."""
    nodes, link, split, joint, *shapes = CASES[case]
    stated = problem(LLAMA, nodes, engine).model_copy(update={"name": name or case})
    weights, kv = stated.model.native_weight_format, stated.model.native_dtype
    pools = PoolsStrategy(*(PoolStrategy(n, tp, 1, most, weights, kv, spread) for n, tp, most, spread in shapes))
    own, others = joint_part(stated, split), pools_part(stated, split)
    decided = strategy(own, **joint)
    stages = [[own] * decided.pipeline_parallel]
    places = joint_place(stated.hardware, split), pools_place(stated.hardware, split)
    chosen = placed(stages, place_evenly(own, decided)), chosen_of_pools(others, answer_of(others, pools, link))
    return stated, beside_of(stated.name, "both", "a test", chosen, split.tenths, places), decided, pools


@cache
def files_of(
    case: str, engine: str, target: str, name: str = "", hosts: str | None = None, **options: Any
) -> dict[str, str]:
    """Every launch file of a case."""
    stated, both, _, _ = beside(case, engine, name)
    resolved = with_hosts(resolve_options(stated.model, engine, target, **options), hosts, both.nodes)
    return side_by_side_files(both, resolved, "a test")[0]
