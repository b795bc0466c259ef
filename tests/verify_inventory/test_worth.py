"""What nodes that stand together are worth, and what no better choice contains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.prices import CheckedPrices
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.worth import NodeWorth, filled, joined, rests_on


def one_group(**changes: Any) -> InventoryProblem:
    """Six nodes of four GPUs in one NVLink domain that spans them: instances may take several nodes whole."""
    stated: dict[str, Any] = {
        "name": "six",
        "engine": "sglang",
        "cluster": [{"name": "g", "gpu": "gb200-nvl72", "nodes": 6, "rack": "r1"}],
        "model": "llama3-70b",
        "workload": {"prompt_tokens": 1500, "output_tokens": 300, "requests_per_s": 20},
        "requirements": {"tpot_p99_ms": 60, "max_batch": 64, "survive": {"gpu": 1, "node": 1}},
        "search": {"pipeline_parallel": [1, 2]},
    }
    return inventory_from_dict({**stated, **changes})


def test_nodes_are_taken_as_well_as_they_can_be() -> None:
    """Against every multiset of instances that take whole nodes."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        spans = {int(q): float(rng.integers(1, 30)) for q in rng.integers(2, 7, size=3)}
        node, nodes = float(rng.integers(0, 6)), int(rng.integers(1, 13))

        def best(left: int, spans: dict[int, float] = spans, node: float = node) -> float:
            return max([left * node, *(gain + best(left - q) for q, gain in spans.items() if q <= left)])

        found = joined(node, spans, nodes)
        assert found[-1] == best(nodes)
        whole = NodeWorth(filled({4: node}, 4), found, {nodes: 1})
        pieces, used = rests_on(whole, {4: node}, spans)
        kept = {q: gain for q, gain in spans.items() if q in used}
        assert joined(node if 4 in pieces else 0.0, kept, nodes)[-1] == best(nodes), (
            "a best filling is among what it rests on"
        )


def test_an_instance_takes_at_least_what_its_gpus_are_worth() -> None:
    found = NodeWorth(filled({1: 1.0, 2: 3.0, 4: 5.0}, 4), joined(6.0, {3: 30.0}, 8), {8: 2, 2: 1})
    assert found.total == 2 * 72.0 + 12.0
    assert found.given_up(1, 4) == 6.0 and found.given_up(1, 2) == 6.0 - 3.0
    assert found.given_up(3, 4) == 72.0 - 42.0 and found.given_up(9, 4) == float("inf")


@pytest.mark.parametrize(("rate", "factor"), [(8, 1.05), (20, 1.2)])
def test_what_is_left_out_is_in_no_better_choice(rate: float, factor: float) -> None:
    """The proof without it, and a claim that is too high is refuted by a choice of what is left."""
    inventory = one_group(workload={"prompt_tokens": 1500, "output_tokens": 300, "requests_per_s": rate})
    answer = solve_inventory(inventory, ranges=False)
    assert answer.status == "optimal" and answer.objective is not None
    assert answer.verification.passed and answer.verification.optimality == "exhaustive"
    with sixty_digits():
        prices = CheckedPrices(CheckedSite(inventory), Instances(inventory), TimeCurves(), Fixed())
        gamma = factor * answer.objective.value
        assert not prices.proves([gamma], answer.objective.value)
    used = {(pool.strategy.tensor_parallel, pool.strategy.pipeline_parallel) for pool in answer.pools}
    left_out = {(shape.group.tensor, shape.stages) for _, shape in prices.left_out}
    assert left_out and not used & left_out
    worse = replace(answer.objective, value=answer.objective.value + 5, bound=answer.objective.value + 5)
    assert not verify_inventory(inventory, replace(answer, objective=worse)).passed
