"""The same inventory said in another way has the same answer: renamed, in another order, in more groups, or as equal nodes.

Values are compared, not plans: among equal plans either may be named. Half of the seeds are tight inventories, in which pipelines
over two groups matter.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest

from optimizer.questions.inventory import solve_inventory
from optimizer.questions.uniform import solve
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict
from optimizer.results.inventory import InventoryAnswer
from tests.inventory.generate import random_inventory, tight_inventory
from tests.inventory.test_naive import small_inventory

SMALL = (-4, -2, -1)
"""Small inventories of a few GPUs, in every run; the others are ``long``."""
SEEDS = [*SMALL, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(100))]
TIME_LIMIT_S = 60.0


def drawn(seed: int) -> dict[str, Any]:
    """A generated inventory whose groups have names."""
    if seed < 0:
        return small_inventory(-seed)
    stated = tight_inventory(seed) if seed % 2 else random_inventory(seed)
    for number, group in enumerate(stated["cluster"]):
        group.setdefault("name", f"g{number}")
    return stated


def renamed(stated: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Other names for groups, racks and zones; names order nothing."""
    changed = copy.deepcopy(stated)
    words = [f"z{9 - i} ä" for i in range(9)]
    rng.shuffle(words)
    for group, word in zip(changed["cluster"], words, strict=False):
        group["name"] = word
    for field in ("rack", "zone"):
        known = sorted({group[field] for group in changed["cluster"] if field in group})
        other = dict(zip(known, reversed([f"{field}-{name}" for name in known]), strict=True))
        for group in changed["cluster"]:
            if field in group:
                group[field] = other[group[field]]
    return changed


def permuted(stated: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The groups in another order."""
    changed = copy.deepcopy(stated)
    rng.shuffle(changed["cluster"])
    changed["cluster"].reverse()
    return changed


def split(stated: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Groups of several nodes in one named rack as two groups in it."""
    changed = copy.deepcopy(stated)
    groups = []
    for group in changed["cluster"]:
        if group["nodes"] == 1 or "racks" in group or "rack" not in group:
            groups.append(group)
            continue
        groups += [group | {"nodes": 1, "name": group["name"] + "-first"}, group | {"nodes": group["nodes"] - 1}]
    changed["cluster"] = groups
    return changed


def answered(stated: dict[str, Any], time_limit_s: float = TIME_LIMIT_S) -> InventoryAnswer:
    answer = solve_inventory(inventory_from_dict(stated), ranges=False, time_limit_s=time_limit_s, explain="nothing")
    assert answer.verification.passed, answer.verification.mismatches
    return answer


def same(first: InventoryAnswer, second: InventoryAnswer) -> None:
    """Equal statuses and values; what was not proved in time contradicts nothing that was."""
    if {first.status, second.status} <= {"optimal", "infeasible"}:
        assert first.status == second.status
        if first.objective is not None and second.objective is not None:
            assert first.objective.value == pytest.approx(second.objective.value, rel=1e-9, abs=1.001)
    for one, other in ((first, second), (second, first)):
        if one.objective is not None and other.objective is not None:
            assert one.objective.bound is None or one.objective.bound <= other.objective.value + 1.001


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("change", [renamed, permuted])
def test_another_wording_has_the_same_answer(seed: int, change: Any) -> None:
    stated = drawn(seed)
    same(answered(stated), answered(change(stated, random.Random(seed))))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_group_in_two_parts_gains_nothing(seed: int, met: Callable[[str], None]) -> None:
    """An instance stands on at most two groups, so parts may lose a pipeline over both and another group, and win none."""
    whole, parts = drawn(seed), split(drawn(seed), random.Random(seed))
    if whole == parts:
        met("nothing to compare")
        return
    one, other = answered(whole), answered(parts)
    assert not (one.status == "infeasible" and other.pools)
    if one.objective is not None and other.objective is not None and one.status == "optimal":
        assert one.objective.value <= other.objective.value + 1.001
    met("compared")


@pytest.mark.parametrize("seed", [-2, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(41))])
def test_a_shorter_time_limit_claims_nothing_else(seed: int) -> None:
    stated = drawn(seed)
    same(answered(stated, 2.0), answered(stated))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 65))])
def test_equal_nodes_are_a_group(seed: int) -> None:
    """``hardware:`` and one group of ``cluster:``: an inventory may mix shapes, so it refuses nothing that equal nodes can do."""
    rng = random.Random(4_000 + seed)
    nodes, per_node = rng.choice([(1, 2), (1, 4), (2, 2), (1, 8), (2, 4)])
    there = {"gpu": rng.choice(["h100-sxm-80gb", "l40s-48gb"]), "nodes": nodes, "gpus_per_node": per_node}
    common = {
        "model": rng.choice(["llama3.1-8b", "qwen3-32b"]),
        "workload": {"prompt_tokens": 600, "output_tokens": 150, "requests_per_s": rng.choice([0.5, 2, 6])},
        "requirements": {"max_sequence_tokens": 2048, "max_batch": 16, "tpot_p99_ms": rng.choice([40, 120])},
        "objective": rng.choice(["latency", "fewest-gpus"]),
    }
    even = solve(problem_from_dict({"hardware": there, **common}), repairs=False)
    mixed = answered({"cluster": [there | {"name": "g"}], **common})
    assert even.verification.passed
    if even.status == "optimal":
        assert mixed.status in ("optimal", "feasible")
    if mixed.status == "infeasible":
        assert even.status == "infeasible"
