"""``check`` of a whole placement: instances of an inventory, layers of a chain; and ``why-not`` for a node's layers."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

import optimizer
from optimizer.cli.program import main
from optimizer.reading.proposal import chain_proposal_from_dict, layers_option, proposal_from_dict
from optimizer.render.envelope import envelope
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.inventory import verify_inventory
from tests.questions.problems import chain, two_groups

PROBLEM = optimizer.problem_from_dict(two_groups())
CHAIN = optimizer.problem_from_dict(chain())


def on(group: str, **more: Any) -> dict[str, Any]:
    return {"group": group, "tp": 1, **more}


def checked(*instances: dict[str, Any]) -> InventoryAnswer:
    return optimizer.check(PROBLEM, placement=proposal_from_dict({"instances": list(instances)}))  # type: ignore[return-value, call-overload, no-any-return]


@pytest.fixture(scope="module")
def best() -> Any:
    return optimizer.solve(PROBLEM)


def test_the_answer_of_solve_is_judged_as_it_says(best: Any) -> None:
    there = proposal_from_dict(json.loads(json.dumps(envelope(best))))
    answer = optimizer.check(PROBLEM, placement=there)  # type: ignore[call-overload]
    assert answer.feasible and answer.status == "optimal" and answer.verification.passed
    assert answer.objective.value == best.objective.value and answer.placement == best.placement
    assert answer.rules == best.rules and answer.losses == best.losses


def test_places_and_shares_that_are_left_out_are_chosen(best: Any) -> None:
    answer = checked(on("h", count=2))
    assert answer.status == "optimal" and answer.objective is not None
    assert answer.objective.value == best.objective.value


@pytest.mark.parametrize(
    ("instances", "rules"),
    [
        ((on("h", nodes=["h-0"], share=0.9), on("l", nodes=["l-0"], share=0.1)), ("survive_gpu",)),
        ((on("h", nodes=["h-0"], share=0.01), on("l", nodes=["l-0"], share=0.99)), ("pool_share", "survive_gpu")),
        ((on("h", nodes=["h-0"]), on("h", nodes=["h-0"])), ("gpus_free",)),
        ((on("h", nodes=["h-0"], gpus={"h-0": [1]}),), ("gpus_free",)),
        ((on("l", count=4),), ("gpus_free",)),
        ((on("l"),), ("demand", "pool_share", "survive_gpu")),
    ],
)
def test_what_is_broken_is_named_and_verified(instances: tuple[dict[str, Any], ...], rules: tuple[str, ...]) -> None:
    answer = checked(*instances)
    assert answer.feasible is False and answer.status == "infeasible" and answer.conflicts[0].rules == rules
    assert answer.verification.passed and answer.optimum is not None and answer.optimum.status == "optimal"
    assert tuple(rule.id for rule in answer.rules if not rule.holds) in {rules, ()}


@pytest.mark.parametrize("rule", ["survive_gpu", "pool_share"])
def test_a_broken_rule_that_is_said_to_hold_is_seen(rule: str) -> None:
    answer = checked(on("h", nodes=["h-0"], share=0.01), on("l", nodes=["l-0"], share=0.99))
    claimed = replace(answer, rules=tuple(replace(one, holds=one.holds or one.id == rule) for one in answer.rules))
    found = verify_inventory(PROBLEM, claimed, proposed=True)
    assert [one.what for one in found.mismatches] == [f"rules.{rule}: holds"]


def test_a_shape_that_cannot_stand_anywhere_is_refused() -> None:
    answer = checked(on("h") | {"tp": 2})
    assert answer.feasible is False and "TP2·PP1 can stand on h" in answer.explanation[0]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ((on("z"),), "no group 'z'"),
        ((on("h", nodes=["h-7"]),), "no node 'h-7'"),
        ((on("h", nodes=["h-0", "h-1"]),), "names 2"),
        ((on("h", nodes=["h-0"]), on("l")), "name all or none"),
        ((on("h", share=0.5), on("l")), "state all or none"),
        ((on("h", share=0.5), on("l", share=0.2)), "add up to 0.7"),
        ((on("h", nodes=["h-0"], share=0.7), on("h", nodes=["h-1"], share=0.3)), "differs"),
        ((on("h", typo=1),), "typo"),
    ],
)
def test_what_contradicts_itself_is_one_sentence(instances: tuple[dict[str, Any], ...], said: str) -> None:
    with pytest.raises(optimizer.ProblemError, match=said):
        checked(*instances)


def held(**nodes: tuple[int, int]) -> Any:
    return chain_proposal_from_dict({"nodes": {name: list(interval) for name, interval in nodes.items()}})


def test_a_chain_is_judged_by_what_it_carries() -> None:
    best = optimizer.solve(CHAIN)
    answer = optimizer.check(CHAIN, placement=held(n0=(0, 2), n1=(2, 2)))
    assert answer.feasible and answer.value == 60 and answer.verification.passed and answer.optimum == answer.optimum
    assert answer.status == ("optimal" if best.value == 60 else "feasible") and answer.bound == best.bound
    there = chain_proposal_from_dict(json.loads(json.dumps(envelope(best))))
    assert optimizer.check(CHAIN, placement=there).status == "optimal"


@pytest.mark.parametrize(
    ("proposal", "said"),
    [
        (held(n0=(0, 2), n1=(3, 1)), "No node holds layer 2"),
        (held(n0=(0, 3), n1=(3, 1)), "at most 2 layers"),
        (held(n0=(0, 2), n1=(3, 2)), "ends at layer 4"),
        (held(n0=(0, 2), n1=(1, 2), n2=(3, 1)), "follow each other"),
    ],
)
def test_a_chain_that_carries_nothing_says_why(proposal: Any, said: str) -> None:
    answer = optimizer.check(CHAIN, placement=proposal)
    assert answer.feasible is False and answer.status == "infeasible" and answer.verification.passed
    assert said in answer.explanation[0]


@pytest.mark.parametrize(("start", "layers"), [(s, n) for s, n in itertools.product(range(4), (1, 2)) if s + n <= 4])
def test_what_a_nodes_layers_cost_is_what_all_placements_say(start: int, layers: int) -> None:
    found = optimizer.why_not(CHAIN, layers=held(n0=(start, layers)))
    assert found.optimum_tokens_per_s == 60
    free = [(s, n) for n in (1, 2) for s in range(4 - n + 1)]
    most = max(
        optimizer.check(CHAIN, placement=held(n0=(start, layers), n1=a, n2=b)).value
        for a, b in itertools.product(free, free)
        if a[0] <= b[0]
    )
    assert (
        found.foil_tokens_per_s == most and found.verdict in {"best", "tie"} if most == 60 else found.verdict == "worse"
    )
    assert found.lost_tokens_per_s == 60 - most


def test_layers_that_do_not_fit_are_not_allowed() -> None:
    assert optimizer.why_not(CHAIN, layers=held(n0=(0, 3))).verdict == "not allowed"
    with pytest.raises(optimizer.ProblemError, match="--node"):
        optimizer.why_not(CHAIN)
    with pytest.raises(optimizer.ProblemError, match="--node"):
        optimizer.why_not(PROBLEM, layers=held(n0=(0, 1)))
    with pytest.raises(optimizer.ProblemError, match="FIRST:LAYERS"):
        layers_option(["n0=2"])


def test_the_command_reads_a_placement(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    problem, placement = tmp_path / "chain.json", tmp_path / "placement.yaml"
    problem.write_text(json.dumps(chain()))
    placement.write_text("nodes: {n0: [0, 2], n1: {start: 2, layers: 2}}\n")
    for arguments, code in (
        (["check", str(problem), "--placement", str(placement), "--json"], 0),
        (["why-not", str(problem), "--node", "n0=0:3", "--json"], 1),
        (["check", str(problem), "--tp", "2"], 2),
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == code
    assert "--placement FILE" in capsys.readouterr().err
