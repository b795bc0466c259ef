"""Pools of several shapes as answers, made without solving."""

from __future__ import annotations

from functools import cache
from typing import Any

from optimizer.deployment import launch_files
from optimizer.deployment.chosen import chosen_of_pools
from optimizer.deployment.options import resolve_options
from optimizer.facts.problem import Problem
from optimizer.results.answer import Verification
from optimizer.results.pools import PoolsAnswer, PoolsStrategy, PoolStrategy
from tests.deploy.cases import DEEPSEEK, LLAMA, problem

Shape = tuple[int, int, int, int, int]
"""Instances, TP, EP, max_num_seqs, nodes."""

CASES: dict[str, tuple[str, int, str, Shape, Shape]] = {
    "one node, shared": (LLAMA, 1, "NVLink", (2, 2, 1, 4, 1), (1, 4, 1, 64, 1)),
    "nodes apart": (LLAMA, 3, "network", (2, 4, 1, 4, 1), (3, 4, 1, 48, 2)),
    "every node shared": (LLAMA, 2, "network", (3, 2, 1, 4, 2), (3, 2, 1, 96, 2)),
    "decode over two nodes": (DEEPSEEK, 4, "network", (2, 8, 8, 2, 2), (1, 1, 16, 40, 2)),
}


def strategy_of(case: str) -> tuple[Problem, PoolsStrategy, str]:
    """The problem, its pools and what the cache crosses."""
    model, nodes, link, *shapes = CASES[case]
    stated = problem(model, nodes)
    weights, kv = stated.model.native_weight_format, stated.model.native_dtype
    pools = [PoolStrategy(n, tp, ep, slots, weights, kv, spread) for n, tp, ep, slots, spread in shapes]
    return stated, PoolsStrategy(*pools), link


def answer_of(stated: Problem, pools: PoolsStrategy, link: str = "network") -> PoolsAnswer:
    """An answer that holds nothing but the decisions."""
    verified = Verification(passed=True, checks=1, optimality="exhaustive", candidates=1, resolution="")
    return PoolsAnswer(stated.name, "optimal", pools, None, None, (), verified, (), link)


@cache
def files_of(
    case: str, engine: str, target: str, may_lose: tuple[int, int] = (0, 0), name: str = "", **options: Any
) -> tuple[dict[str, str], Problem, PoolsStrategy]:
    """Every launch file of a case, its problem and its pools."""
    stated, pools, link = strategy_of(case)
    stated = stated.model_copy(update={"engine": engine, "name": name or stated.name})
    chosen = chosen_of_pools(stated, answer_of(stated, pools, link), may_lose)
    return launch_files(chosen, resolve_options(stated.model, engine, target, **options), "a test"), stated, pools
