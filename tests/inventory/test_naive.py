"""The product against a straight model with every GPU by name: equal optima, equal infeasibility."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from tests.inventory.naive import naive_optimum
from tests.verify.builders import GPU, SMALL_DENSE
from tests.verify_inventory.builders import SLOW_GPU

SEEDS = 8
FEASIBLE, INFEASIBLE = 3, 4


def small_inventory(seed: int) -> dict[str, Any]:
    """At most eight GPUs in one or two groups, single losses."""
    rng = random.Random(seed)
    cluster: list[dict[str, Any]] = []
    for name, gpu in (("a", GPU), ("b", SLOW_GPU))[: rng.choice([1, 2])]:
        per_node = rng.choice([1, 2, 3, 4])
        group: dict[str, Any] = {"name": name, "gpu": gpu, "gpus_per_node": per_node}
        group["nodes"] = rng.randint(1, max(1, 4 // per_node))
        if rng.random() < 0.6:
            group["racks"] = rng.choice([k for k in range(1, group["nodes"] + 1) if group["nodes"] % k == 0])
        if rng.random() < 0.5:
            group["zone"] = rng.choice(["east", "west"])
        cluster.append(group)
    levels = ["gpu", "node"]
    levels += ["rack"] if any("racks" in group for group in cluster) else []
    levels += ["zone"] if any("zone" in group for group in cluster) else []
    requirements: dict[str, Any] = {"max_batch": rng.choice([4, 16]), "tpot_p99_ms": rng.choice([12.0, 40.0])}
    if rng.random() < 0.7:
        requirements["survive"] = {rng.choice(levels): 1, "demand_share": rng.choice([1, 0.6])}
    return {
        "name": f"small-{seed}",
        "cluster": cluster,
        "model": SMALL_DENSE,
        "workload": {"prompt_tokens": 900, "output_tokens": 300, "requests_per_s": rng.choice([0.5, 2.0, 5.0])},
        "requirements": requirements,
        "failures": {"gpu_mtbf_hours": rng.choice([800, 79_230]), "zone_mtbf_hours": 4000},
        "objective": {"preset": "balanced", "gpu_ms": rng.choice([0, 40])},
        "search": {"tensor_parallel": [1, 2, 4], "pipeline_parallel": [1, 2], "layer_imbalance": 0},
    }


@pytest.mark.heavy(0)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_equal_optima(seed: int, met: Callable[[str], None]) -> None:
    problem = inventory_from_dict(small_inventory(seed))
    answer, naive = solve_inventory(problem, ranges=False), naive_optimum(problem)
    assert answer.verification.passed, answer.verification.mismatches
    met(answer.status)
    if naive is None:
        assert answer.status == "infeasible"
        return
    assert answer.status == "optimal" and answer.objective is not None
    # Equal pools may stand differently: the table stands them without looking at losses, which moves the value a little.
    assert math.ceil(naive - 0.05) <= answer.objective.value <= math.ceil(naive + 0.05)


def test_both_kinds_occur() -> None:
    """The seeds above hold feasible and infeasible inventories."""
    assert naive_optimum(inventory_from_dict(small_inventory(FEASIBLE))) is not None
    assert naive_optimum(inventory_from_dict(small_inventory(INFEASIBLE))) is None
