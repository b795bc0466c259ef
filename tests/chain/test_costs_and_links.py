"""Throughput tables from a file, and bounds that count what slow links cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.questions.chain import solve_chain
from optimizer.reading.chain import chain_from_dict
from optimizer.reading.chain_table import with_tables
from optimizer.results.answer import Status
from optimizer.search.chain.bound import upper_bound
from optimizer.search.chain.crossing import crossing_cost
from optimizer.search.chain.instance import scaled
from optimizer.verify.chain.bound import BoundCheck, check_bound
from tests.chain.brute import best_value
from tests.chain.cases import tiny

PROBLEM: dict[str, Any] = {
    "kind": "chain",
    "model": {"layers": 4},
    "published": {"objective_tokens_per_s": 5},
    "cluster": {
        "types": {"A": {"throughput_tokens_per_s_by_layers": {1: 50, 2: 20}}, "B": {"max_layers": 2}},
        "nodes": [{"name": n, "type": n[0].upper()} for n in ("a1", "b1")],
    },
}


def solved(values: dict[str, Any]) -> tuple[Status, float]:
    answer = solve_chain(chain_from_dict(values))
    assert answer.verification.passed
    return answer.status, answer.value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "type,layers,tokens_per_s\nB,1,90\nB,2,30\nB,3,10\n"),
        ("t.yaml", "B: {1: 90, 2: 30, 3: 10}\n"),
        ("t.json", '{"B": {"throughput_tokens_per_s_by_layers": {"1": 90, "2": 30}}}'),
    ],
)
def test_a_file_gives_the_tables(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    values = with_tables(PROBLEM, path)
    assert solved(values) == ("optimal", 20.0)
    answer = solve_chain(chain_from_dict(values))
    assert answer.search_limits[0] == f"Costs: tokens/s of B from {name}; A: the problem file's own tables."
    assert answer.published is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type,layers\nB,1\n", "tokens_per_s"),
        ("type,layers,tokens_per_s\n", "no rows"),
        ("type,layers,tokens_per_s\nC,1,5\n", "'C'"),
        ("type,layers,tokens_per_s\nB,1,5\nB,1,6\n", "second time"),
        ("type,layers,tokens_per_s\nB,1.5,5\n", "'1.5'"),
        ("type,layers,tokens_per_s\nB,1,many\n", "'many'"),
    ],
)
def test_tables_that_cannot_be_used(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ProblemError) as error:
        with_tables(PROBLEM, path)
    assert said in str(error.value)


def two_sites(link: float, per_site: int = 2) -> dict[str, Any]:
    """Nodes that hold 2 layers at 10 tokens/s or 4 at 2, in two sites: a change of site costs something below 10 a link."""
    names = [f"{site}{n}" for site in "xy" for n in range(per_site)]
    return {
        "kind": "chain",
        "model": {"layers": 4 * per_site},
        "cluster": {
            "types": {"A": {"throughput_tokens_per_s_by_layers": {1: 11, 2: 10, 3: 3, 4: 2}}},
            "nodes": [{"name": name, "type": "A", "partition": name[0]} for name in names],
            "partition_links": [
                {"between": ["x", "x"], "tokens_per_s": 99},
                {"between": ["y", "y"], "tokens_per_s": 99},
                {"between": ["x", "y"], "tokens_per_s": link},
            ],
        },
    }


def test_slow_links_lower_the_bound() -> None:
    free, slow = (upper_bound(scaled(chain_from_dict(two_sites(link))), lambda: False) for link in (99, 4))
    assert free.bound == 10_000 and not free.crossing
    assert slow.bound < free.bound and slow.crossing
    assert solve_chain(chain_from_dict(two_sites(4))).verification.passed


@pytest.mark.parametrize("change", [{"connection": "contained"}, {"requirements": {"max_stages": 9}}])
def test_links_are_left_out_where_the_argument_does_not_hold(change: dict[str, Any]) -> None:
    instance = scaled(chain_from_dict(two_sites(4) | change))
    assert crossing_cost(instance, 9_000, (1,)) is None


def test_the_verifier_refutes_a_wrong_crossing_bound() -> None:
    problem = chain_from_dict(two_sites(4))
    proof = solve_chain(problem).proof
    assert proof.crossing and check_bound(problem, proof) is BoundCheck.CONFIRMED
    assert check_bound(problem, replace(proof, cross_section_tokens_per_s=1.0)) is BoundCheck.REFUTED
    assert check_bound(chain_from_dict(two_sites(99)), proof) is BoundCheck.REFUTED


def test_no_placement_beats_the_bound() -> None:
    crossings = 0
    for seed in range(45):
        problem = chain_from_dict(tiny(seed, "some" if seed % 3 else "slow"))
        found = upper_bound(scaled(problem), lambda: False)
        crossings += found.crossing
        assert best_value(problem) <= found.bound, seed
    assert crossings > 3


def test_the_bound_ends_with_its_time_where_rates_make_very_many_sums() -> None:
    """From the fuzzer: with rates that hardly divide one another one cross-section took minutes beyond any time limit."""
    table = {number: 200_003.0 / number**1.003 for number in range(1, 25)}
    problem = chain_from_dict(
        {
            "kind": "chain",
            "model": {"layers": 32},
            "cluster": {
                "types": {"A": {"throughput_tokens_per_s_by_layers": table}},
                "nodes": [{"name": name, "type": "A"} for name in "ab"],
            },
        }
    )
    looks = iter([False, *[True] * 1_000])
    found = upper_bound(scaled(problem), lambda: next(looks))
    assert not found.entry and found.bound == 2 * 200_003_000 // 32
    answer = solve_chain(problem, time_limit_s=1)
    assert answer.verification.passed, answer.verification.mismatches
    assert answer.bound >= answer.value >= 200_003 / 16**1.003 - 1
    # The verifier takes the sum of what the nodes can do in one step, by its own method.
    assert check_bound(problem, answer.proof) is BoundCheck.CONFIRMED and answer.bound < 1.01 * answer.value
