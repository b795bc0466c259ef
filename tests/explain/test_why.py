"""why-not, why-this and how-sure: verdicts, terms that add up, brackets proved at both ends."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import Fixed, problem_from_dict, solve
from optimizer.explain.uniform.how_sure import how_sure
from optimizer.explain.uniform.why_not import why_not
from optimizer.explain.uniform.why_this import why_this
from optimizer.reading.stated import Stated
from optimizer.search.uniform.winner import fits, layout, winner
from tests.explain.infeasible import feasible, stated_problem


@pytest.mark.parametrize("seed", range(60))
def test_the_winner_is_the_solver_s_best(seed: int) -> None:
    problem = stated_problem(seed).problem()
    answer, found = solve(problem, repairs=False), winner(problem)
    assert (found.strategy if found else None) == answer.strategy
    if found is not None and answer.objective is not None:
        assert found.objective_ms == answer.objective.value


def test_shared_tables_change_nothing() -> None:
    for seed in range(40):
        stated = stated_problem(seed)
        now = winner(stated.problem())
        if now is None:
            continue
        for changes in (
            {"workload.requests_per_s": 0.7},
            {"hardware.failures.gpu_mtbf_hours": 900},
            {"hardware.failures.node_mtbf_hours": 900},
            {"objective.gpu_ms": 7},
        ):
            problem = stated.changed(changes).problem()
            near, alone = winner(problem, near=now.quantities), winner(problem)
            assert (near and (near.strategy, near.tiers)) == (alone and (alone.strategy, alone.tiers)), (seed, changes)


@pytest.mark.parametrize("seed", range(0, 80, 2))
def test_verdicts_on_generated_foils(seed: int) -> None:
    stated = stated_problem(seed)
    problem = stated.problem()
    fixed = Fixed(tensor_parallel=[1, 2, 4][seed % 3])
    found, top = why_not(problem, stated, fixed), winner(problem)
    assert found.sentences and all(sentence.strip() for sentence in found.sentences)
    if found.verdict == "not allowed" and found.foil is None:
        assert not feasible(stated, fixed=fixed) and found.conflicts
    elif found.verdict in ("worse", "tie"):
        assert top is not None and not fits(top.strategy, fixed)
        assert sum(found.difference_terms.values()) == pytest.approx(found.difference_ms, abs=1e-6)
    elif found.verdict == "best":
        assert top is not None and fits(top.strategy, fixed)
    if found.flip is not None and not found.flip.change.field.endswith("bandwidth_gb_per_s"):
        there = winner(stated.changed({found.flip.change.field: found.flip.change.new}).problem())
        assert there is not None and fits(there.strategy, fixed)


def test_worse_names_the_term_that_decides(example: dict[str, Any]) -> None:
    example["requirements"] = {"max_sequence_tokens": 8192}
    example["workload"]["requests_per_s"] = 2
    stated = Stated(example)
    found = why_not(stated.problem(), stated, Fixed(tensor_parallel=2))
    assert found.verdict == "worse" and found.decided_by
    assert any("The term that decides" in sentence for sentence in found.sentences)
    assert any("A token for every running sequence takes" in sentence for sentence in found.sentences)


def test_what_was_not_offered_is_not_called_impossible(example: dict[str, Any]) -> None:
    stated = Stated(example)
    found = why_not(stated.problem(), stated, Fixed(weight_precision="fp8"))
    assert found.flip is not None and found.flip.change.field == "search.weight_precision"
    assert "outside what may be considered" in found.sentences[0]


def test_why_this_rests_on_limits_that_matter(example: dict[str, Any]) -> None:
    stated = Stated(example)
    found = why_this(stated.problem(), stated)
    (against,) = found.against
    assert "gpu_count" in against.members and "weight_precision" in against.members
    gains = {worth.words: worth.gain_ms for worth in found.worths}
    assert gains["one more node of 8 GPUs"] > 0 and gains["10 % more memory bandwidth"] > 0
    for worth in found.worths:
        if worth.changes and worth.objective_ms is not None:
            again = solve(stated.changed(worth.changes).problem(), repairs=False)
            assert again.objective is not None and again.objective.value == worth.objective_ms


@pytest.mark.parametrize("preset", ["throughput", "fewest-gpus"])
def test_why_this_goes_tier_by_tier(example: dict[str, Any], preset: str) -> None:
    stated = Stated(example | {"objective": preset})
    found = why_this(stated.problem(), stated)
    assert len(found.against) == 2 and all(worth.first_unit for worth in found.worths if worth.strategy)


def test_how_sure_brackets_hold_at_both_ends(example: dict[str, Any]) -> None:
    stated = Stated(example)
    problem = stated.problem()
    found, now = how_sure(problem, stated), winner(problem)
    assert now is not None and found.strategy == now.strategy
    switches = [(r.knob, s) for r in found.ranges for s in (r.below, r.above) if s is not None]
    assert switches
    for knob, switch in switches:
        inside = knob.set(int(switch.inside) if knob.whole else switch.inside)
        outside = knob.set(int(switch.outside) if knob.whole else switch.outside)
        assert inside is not None and outside is not None
        here, there = winner(inside), winner(outside)
        assert here is not None and layout(here.strategy) == layout(now.strategy)
        assert there is None or layout(there.strategy) != layout(now.strategy)
        assert abs(switch.outside - switch.inside) <= max(1 if knob.whole else 0, 0.0101 * knob.value)


def test_an_infeasible_problem_is_answered_too(example: dict[str, Any]) -> None:
    example["requirements"]["ttft_p99_ms"] = 1
    problem, stated = problem_from_dict(example), Stated(example)
    assert why_this(problem, stated).strategy is None
    assert how_sure(problem, stated).strategy is None
    assert why_not(problem, stated, Fixed(tensor_parallel=8)).verdict == "not allowed"


def test_a_weight_is_named_where_no_fact_makes_it_win(example: dict[str, Any]) -> None:
    example["workload"]["requests_per_s"] = 2
    stated, fixed = Stated(example), Fixed(tensor_parallel=4)
    found = why_not(stated.problem(), stated, fixed)
    assert found.flip is not None and found.flip.change.field == "objective.unserved_penalty_ms"
    there = winner(stated.changed({found.flip.change.field: found.flip.change.new}).problem())
    almost = winner(stated.changed({found.flip.change.field: found.flip.change.new - 2}).problem())
    assert there is not None and fits(there.strategy, fixed) and almost is not None and not fits(almost.strategy, fixed)


def test_a_foil_that_is_not_allowed_is_tried_under_each_repair(example: dict[str, Any]) -> None:
    stated = Stated(example)
    found = why_not(stated.problem(), stated, Fixed(tensor_parallel=8))
    assert found.repairs and any(sentence.startswith("With repair 1 it is allowed, ") for sentence in found.sentences)
