"""Why not other pools or joint instances, why these, and how sure: each verdict against what solving says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.facts.errors import ProblemError
from optimizer.questions.how_sure import how_sure
from optimizer.questions.pools import check_pools
from optimizer.questions.solve import solve
from optimizer.questions.why_not import why_not
from optimizer.questions.why_this import why_this
from optimizer.reading.pools import pools_of, serving_of
from optimizer.render.schemas import command_schema
from optimizer.render.why import how_sure_data, print_why_not, why_not_data, why_this_data
from optimizer.results.answer import Fixed
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.results.pools_why import PoolsHowSure, PoolsWhyNot, PoolsWhyThis
from tests.command import run
from tests.pools.clusters import cluster_with
from tests.pools.problems import problem_with, values_with

FOUR: dict[str, Any] = {"hardware": {"gpus_per_node": 4}, "workload": {"requests_per_s": 10}}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(command_schema())


def asked(problem: Any, prefill: str | None = None, decode: str | None = None, **more: Any) -> PoolsWhyNot:
    found = why_not(problem, more.pop("fixed", Fixed()), pools=pools_of(prefill, decode), **more)
    assert isinstance(found, PoolsWhyNot)
    return found


def label_of(answer: Any) -> str:
    """Short name of what was chosen, joint instances or pools."""
    found: str = answer.strategy.label
    return found


def test_worse_pools_are_told_term_by_term(
    validator: jsonschema.Draft202012Validator, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = problem_with(**FOUR)
    best: Any = solve(problem)
    found = asked(problem, "tp=1,count=1", "tp=1,count=3")
    assert found.verdict == "worse" and found.optimum == best.label
    assert found.difference_ms is not None and found.difference_ms > 0
    assert sum(found.difference_terms.values()) == pytest.approx(found.difference_ms)
    assert found.verification is not None and found.verification.passed
    assert any(one.startswith(("Tokens: ", "Prompts: ")) for one in found.sentences)
    validator.validate(json.loads(json.dumps(why_not_data(found))))
    print_why_not(found)
    assert "keeps every rule, but takes" in capsys.readouterr().out


def test_the_best_itself_and_ties() -> None:
    problem = problem_with(**FOUR)
    best: Any = solve(problem)
    one, other = best.strategy.prefill, best.strategy.decode
    found = asked(
        problem,
        f"tp={one.tensor_parallel},count={one.instances}",
        f"tp={other.tensor_parallel},count={other.instances}",
    )
    assert found.verdict == "best" and found.difference_ms == 0
    fewer = asked(
        problem, f"tp={one.tensor_parallel}", f"tp={other.tensor_parallel},max_num_seqs={other.max_num_seqs - 1}"
    )
    assert fewer.verdict in ("tie", "worse") and fewer.difference_ms is not None and fewer.difference_ms >= 0


def test_pools_that_break_a_rule_name_it_and_the_least_change() -> None:
    found = asked(problem_with(**FOUR), "tp=1,count=1", "tp=1,count=1,max_num_seqs=2")
    assert found.verdict == "not allowed" and found.foil is None
    assert found.conflicts[0].rules == ("decode_concurrency",)
    assert any(change.field == "workload.requests_per_s" for one in found.repairs for change in one.changes)
    assert found.sentences[-1].startswith("The best there is")


def test_more_gpus_than_there_are_say_how_many_nodes() -> None:
    found = asked(problem_with(**FOUR), "tp=4,count=1", "tp=4,count=1")
    assert found.verdict == "not allowed" and found.conflicts[0].rules == ("gpu_count",)
    assert {change.field for one in found.repairs for change in one.changes} >= {"hardware.nodes"}
    with pytest.raises(ProblemError, match="no pools have these decisions"):
        asked(problem_with(**FOUR), "tp=3")


def test_joint_instances_and_pools_against_each_other() -> None:
    """What ``serving: any`` answers with, why-not says of the other; ``disaggregated`` leaves joint instances out."""
    problem = problem_with(serving="any", **FOUR)
    best: Any = solve(problem)
    other = "joint" if "prefill" in best.strategy.label else "disaggregated"
    found = asked(problem, serving=other)
    assert found.verdict == "worse" and set(found.difference_terms) == {"served", "unserved", "gpus"}
    assert any(one.startswith("Up to the first token: ") for one in found.sentences)
    assert any(one.startswith("From then on: ") for one in found.sentences)
    kept_out = asked(problem_with(**FOUR), fixed=Fixed(tensor_parallel=4))
    assert kept_out.verdict == "not allowed" and "leaves out joint instances" in kept_out.sentences[0]
    better = kept_out.difference_ms is not None and kept_out.difference_ms < 0
    assert bool(kept_out.repairs) == better
    assert any("Up to the first token" in one for one in best.explanation)


@pytest.mark.long
def test_the_rate_at_which_it_would_win() -> None:
    problem = problem_with(serving="any", **FOUR)
    found = asked(
        problem, serving="disaggregated" if "prefill" not in label_of(solve(problem, side_by_side=False)) else "joint"
    )
    if found.wins_at is None:
        assert "At no rate tried" in found.sentences[-1]
        return
    there: Any = solve(
        problem_with(serving="any", hardware=FOUR["hardware"], workload={"requests_per_s": found.wins_at}),
        side_by_side=False,
    )
    assert f"{found.wins_at:g} requests/s" in found.sentences[-1]
    assert ("prefill" in there.strategy.label) == ("prefill" in (found.foil or ""))


def test_the_fewest_gpus_come_before_the_time() -> None:
    found = asked(problem_with(objective="fewest-gpus", **FOUR), "tp=2,count=1", "tp=2,count=1")
    assert found.verdict == "worse" and found.decided_by == "GPUs" and "has 4 GPUs where" in found.sentences[0]


def test_decisions_that_contradict_are_refused() -> None:
    with pytest.raises(ProblemError, match="one thing"):
        asked(problem_with(**FOUR), "tp=1", serving="joint")
    with pytest.raises(ProblemError, match="at least one decision"):
        asked(problem_with(**FOUR))
    with pytest.raises(ProblemError, match="joint"):
        serving_of("both")


def test_why_this_names_what_blocks_and_what_each_change_is_worth(validator: jsonschema.Draft202012Validator) -> None:
    problem = problem_with(requirements={"survive": {"gpu": 1, "demand_share": 0.5}}, **FOUR)
    found = why_this(problem)
    assert isinstance(found, PoolsWhyThis) and found.verification is not None and found.verification.passed
    assert found.label == label_of(solve(problem))
    validator.validate(json.loads(json.dumps(why_this_data(found))))
    rules = found.against[0].rules
    switched_off: Any = solve(
        problem.model_copy(update={"search": problem.search.model_copy(update={"disabled_rules": rules})})
    )
    assert switched_off.objective.value < (found.objective_ms or 0) - 1e-6
    by_field = {next(iter(one.changes)): one for one in found.worths}
    more = by_field["hardware.nodes"]
    again: Any = solve(problem_with(
        requirements={"survive": {"gpu": 1, "demand_share": 0.5}},
        hardware={"gpus_per_node": 4, "nodes": 2},
        workload={"requests_per_s": 10},
    ))  # fmt: skip
    assert more.objective_ms == pytest.approx(again.objective.value) and more.label == again.strategy.label
    assert by_field["requirements.survive.gpu"].gain_ms is not None


@pytest.mark.long
def test_how_sure_moves_each_fact_until_something_else_is_best(validator: jsonschema.Draft202012Validator) -> None:
    problem = problem_with(hardware={"gpus_per_node": 2}, workload={"requests_per_s": 10})
    found = how_sure(problem)
    assert isinstance(found, PoolsHowSure) and found.verification is not None and found.verification.passed
    validator.validate(json.loads(json.dumps(how_sure_data(found))))
    rate = next(one for one in found.ranges if one.field == "workload.requests_per_s")
    assert rate.low <= 10 <= rate.high
    at_high: Any = solve(problem_with(hardware={"gpus_per_node": 2}, workload={"requests_per_s": rate.high}))
    assert at_high.label == found.label
    assert rate.above is None or rate.above.split(" at ")[0] != found.label


def test_on_an_inventory(validator: jsonschema.Draft202012Validator) -> None:
    problem = cluster_with(objective="cheapest")
    best: Any = solve(problem)
    found = asked(problem, "tp=1,group=a", "tp=1,group=a")
    validator.validate(json.loads(json.dumps(why_not_data(found))))
    assert found.kind == "cluster_pools" and found.optimum == best.label and found.verdict in ("worse", "best")
    if found.verdict == "worse":
        assert found.decided_by == "price" and "per hour where" in found.sentences[0]
    assert found.verification is not None and found.verification.passed


@pytest.mark.long
def test_why_this_and_how_sure_on_an_inventory(validator: jsonschema.Draft202012Validator) -> None:
    problem = cluster_with(objective="cheapest")
    why, sure = why_this(problem), how_sure(problem)
    assert isinstance(why, PoolsWhyThis) and isinstance(sure, PoolsHowSure)
    for data in (why_this_data(why), how_sure_data(sure)):
        validator.validate(json.loads(json.dumps(data)))
        assert data["kind"] == "cluster_pools" and data["label"] == label_of(solve(problem))
    assert {"cluster.0.nodes", "cluster.1.nodes"} <= {field for one in why.worths for field in one.changes}


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(**FOUR)))
    ran = run("why-not", str(path), "--prefill", "tp=4,count=1", "--decode", "tp=4,count=1")
    assert ran.returncode == 1 and "Repair 1. Set hardware.nodes" in ran.stdout
    wrong = run("why-not", str(path), "--serving", "both")
    assert wrong.returncode == 2 and "--serving" in wrong.stderr


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"requirements": {"tpot_p99_ms": 2}}, ("tpot_p99",)),
        ({"requirements": {"ttft_p99_ms": 60}}, ("ttft_p99",)),
        ({"workload": {"requests_per_s": 200}}, ("prefill_capacity",)),
        (
            {
                "hardware": {"nodes": 2, "gpus_per_node": 2, "internode_gbit_per_s": 1},
                "requirements": {"ttft_p99_ms": 20000},
            },
            ("link",),
        ),
    ],
)
def test_the_conflict_names_what_is_to_blame(changes: dict[str, Any], rules: tuple[str, ...]) -> None:
    """A limit that no pools keep even idle, and not the slots that it leaves; the link, and not what piles up behind it."""
    sections = {name: {**FOUR.get(name, {}), **changes.get(name, {})} for name in {*FOUR, *changes}}
    answer: Any = solve(problem_with(**sections), repairs=False)
    assert answer.status == "infeasible" and answer.conflicts[0].rules == rules, answer.explanation
    piling = [one for one in answer.explanation if "no finite value" in one]
    assert len(piling) <= 1 and all(one.startswith("Requests") for one in piling)


def test_what_breaks_first_as_the_load_grows() -> None:
    problem = problem_with(**FOUR)
    answer: Any = solve(problem)
    said = next(one for one in answer.explanation if one.startswith("It carries up to"))
    assert f"{answer.metrics.max_request_rate:.2f} requests/s" in said
    above = problem_with(
        hardware=FOUR["hardware"], workload={"requests_per_s": answer.metrics.max_request_rate + 0.001}
    )
    one, other = answer.strategy.prefill, answer.strategy.decode
    fixed = FixedPools(*(FixedPool(p.tensor_parallel, p.expert_parallel, p.instances) for p in (one, other)))
    broken = [rule.id for rule in check_pools(above, fixed).rules if not rule.holds]
    assert broken and all(rule in said for rule in broken)
