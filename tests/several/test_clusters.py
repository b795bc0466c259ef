"""Several models on one inventory: against brute force, by hand, what is checked, denied and said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.errors import ProblemError
from optimizer.questions.cluster_models import check_cluster_models, solve_cluster_models
from optimizer.questions.deploy_together import files_of_several
from optimizer.reading.proposal import several_proposal_from_dict
from optimizer.reading.question import load_problem, problem_from_dict
from optimizer.reading.stated import Stated
from optimizer.render.envelope import envelope
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.search.several.cluster_model import SharedMaster
from optimizer.search.several.cluster_solve import SharedSolver
from optimizer.verify.several.cluster_check import verify_cluster_models
from tests.questions.problems import cluster_models
from tests.several.clusters import best_by_hand, problem_of, random_models

ROOT = Path(__file__).resolve().parents[2]
QUICK = (2, 4, 14, 22)
"""Seeds whose brute force takes less than a second; feasible and infeasible."""


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in range(40)])
def test_the_split_is_what_brute_force_finds(seed: int) -> None:
    problem = problem_of(random_models(seed))
    answer = solve_cluster_models(problem, repairs=False, reasons=False)
    assert answer.verification.passed, answer.verification.mismatches
    by_hand = best_by_hand(problem)
    if answer.objective is None:
        assert answer.status == "infeasible" and by_hand is None
        return
    assert answer.status == "optimal" and by_hand == pytest.approx(answer.objective.value)


def values_with(**changes: Any) -> dict[str, Any]:
    """Two models on a node of two H100 and two of one L40S; changes of the second model's fields, by name."""
    values = cluster_models()
    for name, value in changes.items():
        values["models"][1][name] = values["models"][1][name] | value
    return values


@pytest.fixture(scope="module")
def problem() -> ClusterModelsProblem:
    return problem_of(cluster_models())


@pytest.fixture(scope="module")
def answer(problem: ClusterModelsProblem) -> ClusterModelsAnswer:
    return solve_cluster_models(problem)


def test_what_is_said_of_a_split(problem: ClusterModelsProblem, answer: ClusterModelsAnswer) -> None:
    assert answer.status == "optimal" and answer.verification.optimality == "exhaustive"
    assert answer.objective is not None and answer.objective.gap == 0
    assert (
        sum(one.left_gpus for one in answer.left) + sum(one.answer.gpus_used for one in answer.models) == problem.gpus
    )
    assert {one.direction for one in answer.exchange} <= {"more", "fewer"} and answer.exchange
    worse = [one.difference for one in answer.exchange if one.difference is not None]
    assert all(difference >= 0 for difference in worse)
    said = " ".join(answer.explanation)
    assert all(share.name in said for share in answer.models) and "One node more of h" in said


def test_a_split_in_json_is_judged_the_same_and_others_against_it(
    problem: ClusterModelsProblem, answer: ClusterModelsAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimizer.questions.cluster_models.solve_cluster_models", lambda *_, **__: answer)
    again = check_cluster_models(problem, several_proposal_from_dict(envelope(answer)))  # type: ignore[arg-type]
    assert again.status == "optimal" and again.feasible and again.verification.passed, again.verification.mismatches
    assert again.objective == answer.objective

    def judged(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> ClusterModelsAnswer:
        names = [one.name for one in problem.models]
        proposal = {"models": {name: {"instances": one} for name, one in zip(names, (first, second), strict=True)}}
        return check_cluster_models(problem, several_proposal_from_dict(proposal))  # type: ignore[arg-type]

    beside = judged([{"group": "h", "tp": 1, "nodes": ["h-0"]}], [{"group": "h", "tp": 1, "nodes": ["h-0"]}])
    assert beside.feasible and beside.verification.passed, beside.verification.mismatches
    crowded = judged([{"group": "h", "tp": 2}], [{"group": "h", "tp": 1}])
    assert crowded.feasible is False and any("gpus_free" in rule for one in crowded.conflicts for rule in one.rules)
    taken = {"nodes": ["h-0"], "gpus": {"h-0": [0]}}
    twice = judged([{"group": "h", "tp": 1, **taken}], [{"group": "h", "tp": 1, **taken}])
    assert twice.feasible is False and twice.conflicts[0].rules == ("placement",) and twice.verification.passed
    with pytest.raises(ProblemError, match="is missing"):
        check_cluster_models(
            problem,
            several_proposal_from_dict({"models": {problem.models[0].name: {"instances": [{"group": "h", "tp": 1}]}}}),
        )  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["value", "gpu", "left", "optimum", "weight"])
def test_the_verifier_denies_a_wrong_answer(
    problem: ClusterModelsProblem, answer: ClusterModelsAnswer, wrong: str
) -> None:
    first, second = answer.models
    assert answer.objective is not None and first.answer.placement is not None and second.answer.placement is not None
    if wrong == "value":
        answer = replace(answer, objective=replace(answer.objective, value=answer.objective.value - 1))
    elif wrong == "weight":
        answer = replace(answer, models=(replace(first, weight=2.0), second))
    elif wrong == "left":
        answer = replace(
            answer, left=(replace(answer.left[0], left_gpus=answer.left[0].left_gpus + 1), *answer.left[1:])
        )
    elif wrong == "gpu":
        answer = replace(
            answer, models=(first, replace(second, answer=replace(second.answer, placement=first.answer.placement)))
        )
    else:
        names = [one.name for one in problem.models]
        small = [{"group": "l", "tp": 1, "count": 1}]
        proposal = several_proposal_from_dict({"models": {name: {"instances": small} for name in names}})
        worse = check_cluster_models(problem, proposal, time_limit_s=20)  # type: ignore[arg-type]
        assert worse.feasible and worse.objective is not None
        claimed = replace(worse.objective, bound=worse.objective.value, gap=0.0)
        answer = replace(worse, status="optimal", feasible=None, optimum=None, objective=claimed)
    found = verify_cluster_models(problem, answer, exhaustive=wrong == "optimum")
    assert not found.passed and (wrong != "optimum" or found.optimality == "refuted")


def test_models_that_do_not_fit_together_are_named_with_what_would_help() -> None:
    values = values_with(requirements={"tpot_p99_ms": 12}, workload={"requests_per_s": 30})
    values["models"][0]["requirements"] = {**values["models"][0]["requirements"], "tpot_p99_ms": 12}
    answer = solve_cluster_models(problem_of(values))
    assert answer.status == "infeasible" and answer.verification.passed
    assert answer.conflicts and answer.repairs, answer.explanation
    repair = answer.repairs[0]
    changed: Any = Stated(values).changed({one.field: one.new for one in repair.changes}).values
    found = solve_cluster_models(problem_of(changed), repairs=False, reasons=False)
    assert found.objective is not None, repair.sentence


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hardware": {"gpu": "h100-sxm-80gb"}}, "cluster"),
        ({"model": "llama3-8b"}, "model"),
        ({"serving": "any"}, "serving"),
        ({"objective": "capacity"}, "objective"),
        ({"objective": "cheapest"}, "cluster.0.price_per_gpu_hour"),
        ({"domains": {"switch": {"s": ["nothing"]}}}, "domains"),
    ],
)
def test_a_file_that_cannot_be_asked_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        problem_from_dict(cluster_models(**changes))
    assert refused.value.field.startswith(field)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"requirements": {"survive": {"rack": 1}}}, "models.1.requirements.survive.rack"),
        ({"requirements": {"survive": {"gpu": 1, "within_s": 60}}}, "models.1.requirements.survive.within_s"),
        ({"workload": {"requests_per_s": -1}}, "models.1.workload.requests_per_s"),
        ({"search": {"disabled_rules": ["nothing"]}}, "models.1.search.disabled_rules"),
    ],
)
def test_an_entry_that_cannot_be_asked_names_its_field(entry: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        solve_cluster_models(problem_from_dict(values_with(**entry)))  # type: ignore[arg-type]
    assert refused.value.field == field


def test_presets_put_their_own_goal_first() -> None:
    fewest = solve_cluster_models(problem_of(cluster_models(objective="fewest-gpus")), reasons=False)
    assert fewest.status == "optimal" and sum(one.answer.gpus_used for one in fewest.models) == 2
    values = cluster_models(objective="cheapest")
    for group, price in zip(values["cluster"], (3.0, 1.0), strict=True):
        group["price_per_gpu_hour"] = price
    cheapest = solve_cluster_models(problem_of(values), reasons=False)
    assert cheapest.status == "optimal" and cheapest.price_per_hour == 2.0


def test_a_limit_on_power_counts_all_models() -> None:
    """700 W of an H100 and 350 W of an L40S; idle ones draw less, hosts as stated."""
    free = solve_cluster_models(problem_of(cluster_models()), reasons=False)
    values = cluster_models(power_limits_watts={"total": 1300})
    for group, watts in zip(values["cluster"], (120, 35), strict=True):
        group |= {"idle_watts": watts}
    tight = solve_cluster_models(problem_of(values), reasons=False)
    assert free.objective is not None and tight.objective is not None and tight.status == "optimal"
    assert tight.verification.passed and tight.objective.value > free.objective.value
    assert sum(one.answer.gpus_used for one in tight.models) < sum(one.answer.gpus_used for one in free.models)


def test_every_model_is_launched_behind_one_router(problem: ClusterModelsProblem, answer: ClusterModelsAnswer) -> None:
    files = files_of_several(problem, answer)
    names = [one.name for one in problem.models]
    assert all(name in files["router.yaml"] for name in names)
    assert {path.split("/")[0] for path in files if "/" in path} == {name.replace(".", "-") for name in names}


def test_the_example_of_the_page() -> None:
    """docs/several.md, section 8."""
    found = load_problem(ROOT / "problems" / "two-models-h100-and-l40s.yaml")
    assert isinstance(found, ClusterModelsProblem)
    answer = solve_cluster_models(found, reasons=False)
    assert answer.status == "optimal" and answer.verification.passed, answer.verification.mismatches
    assert answer.objective is not None and answer.objective.terms == {"llama-70b": 4968.0, "qwen-8b": 1666.0}
    assert [one.gpus_by_group for one in answer.models] == [{"h100": 12}, {"h100": 4, "l40s": 16}]
    llama = answer.models[0].answer
    assert [round(pool.share, 3) for pool in llama.pools] == [0.281, 0.719]
    assert [round(pool.capacity, 3) for pool in llama.pools] == [3.827, 5.696]
    assert answer.price_per_hour == pytest.approx(54.4)


def test_candidates_that_others_beat_are_not_gone_through_one_by_one() -> None:
    """Each is slower by what a thousandth of the requests takes longer there: with their own times a few rounds are enough."""
    problem: Any = load_problem(ROOT / "problems" / "two-models-h100-and-l40s.yaml")

    def fewer(master: SharedMaster) -> None:
        master.model.add(master.gpus_on(0, 0) <= 11)

    found = SharedSolver(problem, adjust=fewer).run()
    assert found.status == "optimal" and found.best is not None
    assert found.best.goal(problem) == 8_245_000  # docs/several.md, section 8: eight H100 of Llama
    assert found.rounds < 30  # over a hundred where what beats a candidate stands for it
