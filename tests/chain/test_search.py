"""Bounds, relaxations and determinism on larger instances; nothing here asserts a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from optimizer.questions.chain import solve_chain
from optimizer.reading.chain import chain_from_dict
from optimizer.results.chain import ChainAnswer
from optimizer.search.chain.groups import grouped
from optimizer.search.chain.instance import scaled
from tests.chain.cases import generated, uneven


def answer_to(values: dict[str, Any], seconds: float = 60, gap: float = 0.0) -> ChainAnswer:
    answer = solve_chain(chain_from_dict(values), time_limit_s=seconds, gap=gap)
    assert answer.verification.passed, answer.verification.mismatches
    return answer


@pytest.mark.parametrize(("seed", "nodes", "types"), [(1, 24, 3), (3, 36, 5), (4, 48, 7), (7, 42, 7)])
def test_one_site_is_within_five_percent_of_its_bound(seed: int, nodes: int, types: int) -> None:
    answer = answer_to(generated(seed, nodes, types), gap=0.05)
    assert answer.gap is not None
    assert answer.gap <= 0.05
    assert answer.proof.method == "cross_section"


@pytest.mark.parametrize(("seed", "nodes", "types", "sites"), [(1, 24, 3, 3), (5, 30, 6, 2), (6, 24, 3, 2)])
def test_several_sites_are_within_ten_percent_of_their_bound(seed: int, nodes: int, types: int, sites: int) -> None:
    answer = answer_to(generated(seed, nodes, types, sites), gap=0.10)
    assert answer.gap is not None
    assert answer.gap <= 0.10


@pytest.mark.parametrize("normal", [False, True])
def test_links_that_all_differ_leave_a_small_gap(normal: bool) -> None:
    """A lane is found as if links between sites were as good as most of them; its nodes are then named so that they are."""
    answer = answer_to(uneven(1, normal=normal), gap=0.2)
    assert answer.gap is not None and answer.gap <= 0.2


def test_sites_are_found_by_links_whatever_partitions_are_stated() -> None:
    """A partition a node, as some files have it, is no reason to take each for a site of its own."""
    values = uneven(1)
    for number, node in enumerate(values["cluster"]["nodes"]):
        node["partition"] = f"p{number}"
    instance = scaled(chain_from_dict(values))
    assert [len(group) for group in grouped(instance, 1_754_382).members] == [4, 10, 10]


def test_the_search_goes_on_while_a_gap_is_open() -> None:
    """Links that all differ, in three regions: until the time is over, or the gap that is asked for is reached."""
    values = uneven(3, layers=60)
    asked = answer_to(values, seconds=60, gap=0.5)
    assert asked.gap is not None and asked.gap <= 0.5 and asked.seconds < 60
    longer = answer_to(values, seconds=6)
    assert longer.status == "optimal" or longer.seconds >= 6


def test_same_question_same_answer() -> None:
    values = generated(7, 42, 7)
    first, second = answer_to(values), answer_to(values)
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)


def test_another_node_never_lowers_the_bound_and_a_limit_never_raises_it() -> None:
    values = generated(1, 24, 3)
    plain = answer_to(values)
    more = dict(values, cluster={**values["cluster"]})
    more["cluster"]["nodes"] = [*values["cluster"]["nodes"], {**values["cluster"]["nodes"][0], "name": "extra"}]
    assert answer_to(more).bound >= plain.bound
    depth = max(len(chain.nodes) for chain in plain.chains)
    limited = answer_to({**values, "requirements": {"max_stages": depth - 2}})
    assert limited.bound <= plain.bound
    assert all(len(chain.nodes) <= depth - 2 for chain in limited.chains)


def test_too_little_memory_is_infeasible_and_says_so() -> None:
    values = generated(1, 4, 3, layers=80)
    answer = answer_to(values)
    assert answer.status == "infeasible"
    assert "together hold" in answer.explanation[0]


@pytest.mark.long
def test_sites_without_links_still_serve_each_by_itself() -> None:
    values = generated(1, 24, 3, 2, layers=12)
    values["cluster"]["partition_links"] = [
        link for link in values["cluster"]["partition_links"] if link["between"][0] == link["between"][1]
    ]
    answer = answer_to(values, 20)
    home = {place.node: place.partition for place in answer.placement}
    assert {len({home[node] for node in chain.nodes}) for chain in answer.chains} == {1}
    assert set(home.values()) == {"p0", "p1"}


def test_ctrl_c_keeps_the_best_placement_and_the_proved_bound() -> None:
    seen: list[float] = []

    def interrupt(progress: Any) -> None:
        seen.append(progress.incumbent)
        if len(seen) == 3:
            raise KeyboardInterrupt

    answer = solve_chain(chain_from_dict(generated(4, 48, 7)), progress=interrupt)
    assert len(seen) == 3
    assert answer.status == "feasible"
    assert answer.verification.passed
    assert 0 < answer.value <= answer.bound
    assert "ended before" in answer.search_limits[-1]
