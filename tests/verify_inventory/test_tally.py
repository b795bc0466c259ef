"""How many sets of instances there are, against counting them one by one; nothing is counted twice or left out."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from optimizer.questions.inventory import solve_inventory
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.candidates import candidates_of
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.tally import Tally, sets_within
from tests.verify.builders import GPU
from tests.verify_inventory.builders import SLOW_GPU, answer_for, no_answer, problem, shape

TWO_POOLS: dict[str, Any] = {
    "cluster": [
        {"name": "a", "gpu": GPU, "nodes": 1, "gpus_per_node": 4, "rack": "r"},
        {"name": "b", "gpu": SLOW_GPU, "nodes": 1, "gpus_per_node": 2, "rack": "s"},
    ],
    "requirements": {"max_batch": 32},
}


@pytest.mark.parametrize(("sizes", "room"), [((), 3), ((1,), 0), ((2, 2, 3), 7), ((1, 1, 4, 5), 9), ((8,), 7)])
def test_sets_are_counted_as_if_listed(sizes: tuple[int, ...], room: int) -> None:
    every = product(*(range(room // size + 1) for size in sizes))
    listed = sum(sum(n * size for n, size in zip(counts, sizes, strict=True)) <= room for counts in every)
    assert sets_within(sizes, room) == listed


def test_what_is_left_is_the_product_of_the_pools() -> None:
    with sixty_digits():
        site = CheckedSite(problem(**TWO_POOLS))
        candidates = [one for group in candidates_of(site, Instances(site.inventory)) for one in group]
        tally = Tally(site, Fixed())
    pools = [[one.gpus for one in candidates if one.group == number] for number in (0, 1)]
    total, ruled_out = tally.looked_at(candidates, 5)
    assert tally.known and total == sum(ruled_out.values()) + 5
    assert sum(list(ruled_out.values())[-1:]) + 5 == sets_within(pools[0], 4) * sets_within(pools[1], 2) - 1


@pytest.mark.parametrize("preset", ["balanced", "fewest-gpus", "throughput"])
def test_answers_say_what_was_compared_and_what_ruled_out_the_rest(preset: str) -> None:
    stated = problem(**TWO_POOLS, objective=preset)
    found = solve_inventory(stated, ranges=False).verification
    assert found.passed and found.optimality == "exhaustive"
    assert found.candidates == found.compared + sum(found.ruled_out.values()) > 0
    assert all(count >= 0 for count in found.ruled_out.values())


def test_infeasible_and_refuted_answers_count_too() -> None:
    stated = problem(**{**TWO_POOLS, "requirements": {"max_batch": 32, "survive": {"node": 2}}})
    found = verify_inventory(stated, no_answer(stated))
    assert found.optimality == "exhaustive" and found.candidates == found.compared + sum(found.ruled_out.values())
    fewest = problem(**TWO_POOLS, objective="fewest-gpus")
    worse = verify_inventory(fewest, answer_for(fewest, [(0, shape(1), 4)]))
    assert worse.optimality == "refuted" and worse.compared >= 1 and not worse.ruled_out


def test_pipelines_over_two_groups_are_not_counted() -> None:
    together = [{**one, "rack": "r"} for one in TWO_POOLS["cluster"]]
    with sixty_digits():
        assert not Tally(CheckedSite(problem(**{**TWO_POOLS, "cluster": together})), Fixed()).known
