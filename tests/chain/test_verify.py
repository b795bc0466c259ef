"""The verifier catches what is wrong with an answer, each kind by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from optimizer.facts.chain import ChainProblem
from optimizer.questions.chain import solve_chain
from optimizer.reading.chain import chain_from_dict
from optimizer.results.chain import ChainAnswer
from optimizer.verify.chain.check import verify_chain
from tests.chain.cases import generated

VALUES = generated(2, 12, 3, layers=24)


@pytest.fixture(scope="module")
def solved() -> tuple[ChainProblem, ChainAnswer]:
    problem = chain_from_dict(VALUES)
    answer = solve_chain(problem, time_limit_s=20)
    assert answer.verification.passed, answer.verification.mismatches
    return problem, answer


def first(answer: ChainAnswer, **changes: object) -> ChainAnswer:
    held = answer.placement[0]
    return replace(answer, placement=(replace(held, **changes), *answer.placement[1:]))


MUTATIONS: dict[str, Callable[[ChainAnswer], ChainAnswer]] = {
    "an unknown node": lambda a: first(a, node="nobody"),
    "a node twice": lambda a: replace(a, placement=(*a.placement, a.placement[0])),
    "too many layers": lambda a: first(a, layers=99),
    "an interval outside": lambda a: first(a, start=-1),
    "another start": lambda a: first(a, start=a.placement[0].start + 1),
    "another type": lambda a: first(a, type="none"),
    "another throughput": lambda a: first(a, tokens_per_s=a.placement[0].tokens_per_s + 1),
    "more value": lambda a: replace(a, value=a.value + 1),
    "less bound": lambda a: replace(a, bound=a.bound / 2),
    "another gap": lambda a: replace(a, gap=0.5),
    "a flow too large": lambda a: replace(a, flows=(replace(a.flows[0], tokens_per_s=1e9), *a.flows[1:])),
    "a flow less": lambda a: replace(a, flows=a.flows[1:]),
    "a flow of nothing": lambda a: replace(a, flows=(replace(a.flows[0], tokens_per_s=0.0), *a.flows[1:])),
    "a chain less": lambda a: replace(a, chains=a.chains[1:]),
    "a flow against the rule": lambda a: replace(
        a, flows=(*a.flows, replace(a.flows[0], src=a.placement[-1].node, dst=a.placement[0].node))
    ),
    "a false status": lambda a: replace(a, status="feasible" if a.status == "optimal" else "optimal"),
    "weights that prove nothing": lambda a: replace(
        a, proof=replace(a.proof, weight_per_node=dict.fromkeys(a.proof.weight_per_node, 0), entry=False)
    ),
    "a bound below what is possible": lambda a: replace(
        a, bound=a.value / 2, proof=replace(a.proof, cross_section_tokens_per_s=a.value / 2)
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mutation_is_caught(solved: tuple[ChainProblem, ChainAnswer], name: str) -> None:
    problem, answer = solved
    assert not verify_chain(problem, MUTATIONS[name](answer)).passed


def test_a_placement_that_carries_more_than_claimed_is_caught() -> None:
    """A valid flow below the maximum of its own placement is no answer."""
    problem = chain_from_dict(VALUES)
    answer = solve_chain(problem, time_limit_s=20)
    half = 1 / 1000
    less = replace(
        answer,
        value=round(half, 3),
        gap=(answer.bound - half) / half,
        status="feasible",
        chains=(replace(answer.chains[0], tokens_per_s=half),),
    )
    way = ("source", *answer.chains[0].nodes, "sink")
    steps = set(pairwise(way))
    less = replace(
        less,
        flows=tuple(replace(f, tokens_per_s=half) for f in answer.flows if (f.src, f.dst) in steps),
        placement=tuple(replace(p, tokens_per_s=half if p.node in way else 0.0) for p in answer.placement),
    )
    failed = [mismatch.what for mismatch in verify_chain(problem, less).mismatches]
    assert failed == ["maximum flow of the placement"]


def test_limits_on_chains_are_checked() -> None:
    answer = solve_chain(chain_from_dict(VALUES), time_limit_s=20)
    depth = max(len(chain.nodes) for chain in answer.chains)
    stricter = chain_from_dict({**VALUES, "requirements": {"max_stages": depth - 1, "max_ms_per_token": 0.001}})
    failed = {mismatch.what for mismatch in verify_chain(stricter, answer).mismatches}
    assert {"stages of a chain", "milliseconds of a chain"} <= failed
