"""Pools chosen by going through every choice, each judged whole in exact arithmetic; and random questions that they are compared on.

A choice is enumerated here from degrees, counts, nodes and formats alone; only the rules on one shape come from the verifier.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import Any

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.cluster_pools import ClusterPoolsStrategy, GroupPool
from optimizer.results.pools import FixedPool, PoolStrategy
from optimizer.verify.common.arithmetic import decimal, sixty_digits
from optimizer.verify.common.groups import Group
from optimizer.verify.pools.cluster_pair import ClusterPair
from optimizer.verify.pools.pair import PoolsPair, Shapes, joined, legal
from optimizer.verify.pools.site import PoolsSite
from optimizer.verify.pools.survey import slots_of

Best = tuple[Decimal, Decimal]
"""What the preset puts before the objective, and the objective in ms."""


def _pools(problem: Problem, shapes: Shapes, side: str) -> Iterator[PoolStrategy]:
    """Every pool on at most eight nodes: dense shapes of stated degrees and formats."""
    hardware, search, model = problem.hardware, problem.search, problem.model
    weights = search.weight_precision or (model.native_weight_format,)
    caches = search.kv_precision or (model.native_kv_format,)
    for tensor, weight, cache in product(search.tensor_parallel or (), weights, caches):
        shape = shapes.of(Group(tensor, 1, str(weight), str(cache)))
        if not legal(problem, shape):
            continue
        slots = (
            shape.together(problem.workload.prompt_tokens)
            if side == "prefill"
            else slots_of(problem, shape, FixedPool())
        )
        for count in range(1, hardware.gpus // tensor + 1):
            if tensor > hardware.gpus_per_node:
                spreads: Sequence[int] = [count * tensor // hardware.gpus_per_node]
            else:
                each = hardware.gpus_per_node // tensor
                spreads = [
                    n for n in range(1, hardware.nodes + 1) if n * each >= count and (n <= count or n == hardware.nodes)
                ]
            for nodes in spreads:
                yield PoolStrategy(count, tensor, 1, slots, str(weight), str(cache), nodes)


@sixty_digits()
def least_on_nodes(problem: Problem) -> Best | None:
    """The best pair of pools on equal nodes; None: every one breaks a rule."""
    shapes, off = Shapes(problem), problem.search.disabled_rules
    found = []
    for first, second in product(_pools(problem, shapes, "prefill"), _pools(problem, shapes, "decode")):
        pair = PoolsPair(shapes, first, second)
        if not joined(problem, pair.prefill.shape.group, pair.decode.shape.group):
            continue
        if all(ruling.holds or ruling.id in off for ruling in pair.rulings()):
            first_tier = {"fewest-gpus": Decimal(pair.gpus), "throughput": -min(pair.peak())}
            found.append((first_tier.get(problem.objective.preset, Decimal(0)), sum(pair.terms().values(), Decimal(0))))
    return min(found) if found else None


@sixty_digits()
def least_on_groups(problem: InventoryProblem) -> Best | None:
    """The best pools on two groups, each on either or on both in tenths of the requests; None: every choice breaks a rule."""
    site, off, found = PoolsSite(problem), problem.search.disabled_rules, []

    def sides(side: str) -> list[tuple[GroupPool, ...]]:
        own = [
            [(name, pool) for pool in _pools(one, shapes, side)]
            for name, one, shapes in zip(site.names, site.problems, site.shapes, strict=True)
        ]
        alone = [(GroupPool(name, 1.0, pool),) for pools in own for name, pool in pools]
        both = [
            (GroupPool(a[0], tenths / 10, a[1]), GroupPool(b[0], (10 - tenths) / 10, b[1]))
            for a, b in product(*own)
            for tenths in range(1, 10)
        ]
        return [*alone, *both]

    def kinds(side: Sequence[GroupPool]) -> set[tuple[int, str, str]]:
        return {(one.pool.tensor_parallel, one.pool.weight_precision, one.pool.kv_precision) for one in side}

    for prefill, decode in product(sides("prefill"), sides("decode")):
        if len(kinds(decode)) > 1:
            continue
        pair = ClusterPair(site, ClusterPoolsStrategy(prefill, decode))
        if not all(
            joined(site.problems[0], one.pool.shape.group, pair.parts[1][0].pool.shape.group) for one in pair.parts[0]
        ):
            continue
        if all(ruling.holds or ruling.id in off for ruling in pair.rulings()):
            price = pair.price
            first = {
                "fewest-gpus": Decimal(pair.gpus),
                "cheapest": Decimal(0) if price is None else decimal(price),
                "throughput": -pair.peak(),
            }
            found.append((first.get(problem.objective.preset, Decimal(0)), sum(pair.terms().values(), Decimal(0))))
    return min(found) if found else None


def _demand(chance: random.Random, gpus: float) -> dict[str, Any]:
    """Load, limits and formats of a random question on GPUs worth so many H100."""
    prompt = chance.choice([400, 1500, 6000, {"mean": 1500, "cv": 1.0}])
    output = chance.choice([40, 200, 400])
    tokens = (prompt if isinstance(prompt, int) else 1500) + 6 * output
    requirements: dict[str, Any] = {"tpot_p99_ms": chance.choice([20, 40, 80])}
    for name, choices in (
        ("ttft_p99_ms", [600, 2000, 6000]),
        ("ttft_p50_ms", [300, 900]),
        ("tpot_p50_ms", [14, 30]),
        ("prefill_p99_ms", [500, 2500]),
        ("prefill_p50_ms", [120, 700]),
    ):
        if chance.random() < 0.45:
            requirements[name] = chance.choice(choices)
    if chance.random() < 0.15:
        requirements["margin"] = 0.1
    search: dict[str, Any] = {"tensor_parallel": [1, 2]}
    if chance.random() < 0.4:
        search["weight_precision"] = chance.choice([["bf16", "fp8"], ["fp8"]])
    if chance.random() < 0.5:
        search["kv_precision"] = chance.choice([["bf16", "fp8"], ["fp8"]])
    return {
        "workload": {
            "prompt_tokens": prompt,
            "output_tokens": output,
            "requests_per_s": round(chance.uniform(0.05, 0.5) * gpus * 22_000 / tokens, 2),
        },
        "requirements": requirements,
        "search": search,
        "engine": chance.choice(["vllm", "sglang"]),
    }


WORTH = {"h100-sxm-80gb": 1.0, "h200-sxm-141gb": 1.1, "l40s-48gb": 0.3, "a100-sxm-80gb": 0.4}
"""About how much of an H100's load a GPU carries."""


def question_on_nodes(seed: int) -> dict[str, Any]:
    """A random question on up to four equal GPUs."""
    chance = random.Random(seed)
    gpu = chance.choice(["h100-sxm-80gb", "l40s-48gb", "a100-sxm-80gb"])
    nodes, per_node = chance.choice([(1, 3), (1, 4), (2, 2), (4, 1), (3, 1)])
    asked = _demand(chance, nodes * per_node * WORTH[gpu])
    if chance.random() < 0.5:
        asked["requirements"]["survive"] = {
            chance.choice(["gpu", "node"]): 1,
            "demand_share": chance.choice([0.3, 0.6]),
        }
    return asked | {
        "hardware": {
            "gpu": gpu, "nodes": nodes, "gpus_per_node": per_node, "internode_gbit_per_s": chance.choice([10, 100, 800]),
        },
        "objective": chance.choice(["balanced", "latency", "fault-tolerance", {"gpu_ms": 20.0}, "fewest-gpus", "throughput"]),
    }  # fmt: skip


def question_on_groups(seed: int) -> dict[str, Any]:
    """A random question on two groups, in racks and zones."""
    chance = random.Random(seed)
    groups: list[dict[str, Any]] = []
    for name in "ab":
        nodes = chance.choice([1, 2, 2])
        group: dict[str, Any] = {
            "name": name, "gpu": chance.choice(sorted(WORTH)), "nodes": nodes, "gpus_per_node": 2 // nodes,
            "internode_gbit_per_s": chance.choice([25, 100, 400]), "price_per_gpu_hour": chance.choice([0.8, 2.0, 3.0]),
        }  # fmt: skip
        if nodes == 2 and chance.random() < 0.5:
            group["racks"] = 2
        elif chance.random() < 0.6:
            group["rack"] = chance.choice(["r1", "r2"])
        if chance.random() < 0.6:
            group["zone"] = chance.choice(["z1", "z2"])
        groups.append(group)
    asked = _demand(chance, sum(2 * WORTH[one["gpu"]] for one in groups))
    asked["search"]["tensor_parallel"] = chance.choice([[1], [1], [2]])
    levels = ["gpu", "node"]
    levels += ["rack"] if all("rack" in one or "racks" in one for one in groups) else []
    levels += ["zone"] if all("zone" in one for one in groups) else []
    if chance.random() < 0.65:
        asked["requirements"]["survive"] = {chance.choice(levels): 1, "demand_share": chance.choice([0.2, 0.5])}
    return asked | {
        "cluster": groups,
        "failures": {"zone_mtbf_hours": 100000, "rack_mtbf_hours": 50000},
        "objective": chance.choice(["balanced", "latency", "fault-tolerance", {"gpu_ms": 30.0}, "fewest-gpus", "cheapest", "throughput"]),
    }  # fmt: skip
