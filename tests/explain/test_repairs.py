"""Repairs against brute force: enough, nothing superfluous, nothing missed, each change the least; and the round trip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.explain.common.patience import Patience
from optimizer.explain.common.relaxations import Relaxation
from optimizer.explain.uniform.infeasible import solved_again
from optimizer.explain.uniform.least import Least
from optimizer.explain.uniform.repair import candidates, changed_stated, find_repairs, least_changes
from optimizer.explain.uniform.wide import WideSearch
from optimizer.facts.errors import ProblemError
from optimizer.reading.stated import Stated, load_stated, stated_of, write_stated
from optimizer.results.answer import Repair
from optimizer.search.uniform.oracle import Oracle
from tests.explain.infeasible import BLOCK, SEEDS, feasible, infeasible, stated_problem


def setting(relaxation: Relaxation, value: Any) -> int:
    """Which setting of the relaxation has the value: settings are ordered."""
    low, high = 1, relaxation.steps
    if relaxation.kind in ("candidate", "choice"):
        return next(k for k in range(1, relaxation.steps + 1) if relaxation.at(k)[relaxation.field] == value)
    rising = (
        relaxation.steps == 1 or relaxation.at(1)[relaxation.field] < relaxation.at(relaxation.steps)[relaxation.field]
    )
    while low < high:
        middle = (low + high) // 2
        there = relaxation.at(middle)[relaxation.field]
        reached = there == value or (there > value) == rising
        low, high = (low, middle) if reached else (middle + 1, high)
    assert relaxation.at(low)[relaxation.field] == value
    return low


def judge(wide: WideSearch, stated: Stated, repair: Repair) -> None:
    """A repair is enough, needs each change, and no smaller change would do."""
    values = {change.field: change.new for change in repair.changes}
    assert feasible(stated, values, fixed=wide.fixed), repair
    for field, value in values.items():
        if field.startswith("hardware.") and value is None:
            continue
        rest = {k: v for k, v in values.items() if k != field and not (field == "hardware.gpu" and v is None)}
        assert not feasible(stated, rest, fixed=wide.fixed), (repair, field)
        relaxation = next(relaxation for relaxation in wide.relaxations if relaxation.field == field)
        if relaxation.id == "gpu" or relaxation.kind == "candidate":
            continue
        k = setting(relaxation, value)
        for smaller in {k - 1, k - 2, k // 2, k // 7} & set(range(1, k)):
            assert not feasible(stated, rest, relaxation.at(smaller), fixed=wide.fixed), (
                repair,
                relaxation.at(smaller),
            )


@pytest.mark.heavy(140)
@pytest.mark.parametrize("block", range(0, SEEDS, BLOCK))
def test_repairs_are_enough_minimal_and_least(block: int) -> None:
    for seed, stated in infeasible(range(block, block + BLOCK)):
        wide = WideSearch(stated, stated.problem())
        repairs = find_repairs(wide, solved_again)
        assert repairs, seed
        for repair in repairs:
            judge(wide, stated, repair)


def assert_no_single_change_is_missed(seed: int, stated: Stated) -> None:
    wide = WideSearch(stated, stated.problem())
    single = {relaxations[0].id for relaxations in candidates(wide) if len(relaxations) == 1}
    for relaxation in wide.relaxations:
        if relaxation.full is not None:
            enough = feasible(stated, relaxation.full)
            assert enough == (relaxation.id in single) or (relaxation.id in wide.skipped | {"nodes"} and not enough), (
                seed,
                relaxation.id,
            )


@pytest.mark.parametrize("block", range(0, SEEDS // 3, BLOCK))
def test_no_single_change_that_is_enough_is_missed(block: int) -> None:
    for seed, stated in infeasible(range(block, block + BLOCK)):
        assert_no_single_change_is_missed(seed, stated)


@pytest.mark.parametrize("seed", range(0, 60, 2))
def test_repairs_of_a_given_strategy(seed: int, met: Callable[[str], None]) -> None:
    stated = stated_problem(seed)
    fixed = Fixed(tensor_parallel=1, pipeline_parallel=1)
    if feasible(stated, fixed=fixed):
        met("nothing to compare")
        return
    problem = stated.problem()
    answer = check(problem, fixed, stated=stated)
    assert answer.feasible is False and answer.conflicts
    wide = WideSearch(stated, problem, fixed)
    for repair in answer.repairs:
        judge(wide, stated, repair)
    met("compared")


def test_a_feasible_problem_has_no_repairs(example: dict[str, Any]) -> None:
    answer = solve(problem_from_dict(example))
    assert answer.status == "optimal" and not answer.repairs and not answer.conflicts


def test_round_trip_through_a_file(example: dict[str, Any], tmp_path) -> None:  # type: ignore[no-untyped-def]
    example["requirements"]["ttft_p99_ms"] = 100
    stated = Stated(example, tmp_path)
    answer = solve(stated.problem(), stated=stated)
    assert answer.status == "infeasible" and answer.repairs
    for number, repair in enumerate(answer.repairs):
        for suffix in ("yaml", "json"):
            path = tmp_path / f"{number}.{suffix}"
            write_stated(changed_stated(stated, repair), path)
            again = solve(load_stated(path).problem())
            assert again.status == "optimal" and again.verification.passed
            assert again.strategy == repair.result
            with pytest.raises(ProblemError, match="exists already"):
                write_stated(stated, path)


def test_other_gpus_bring_their_own_links(example: dict[str, Any]) -> None:
    example["model"], example["search"] = "llama3.1-405b", {}
    example["workload"]["requests_per_s"] = 0.5
    stated = Stated(example)
    answer = solve(stated.problem(), stated=stated)
    (other,) = [r for r in answer.repairs if any(c.field == "hardware.gpu" for c in r.changes)]
    assert feasible(stated, {change.field: change.new for change in other.changes})


@pytest.mark.parametrize("seed", range(40))
def test_a_problem_without_a_file_states_the_same(seed: int) -> None:
    problem = stated_problem(seed).problem()
    assert stated_of(problem).problem() == problem


def test_what_is_traded_is_traded_evenly(example: dict[str, Any]) -> None:
    """A later deadline and fewer requests: neither takes all of it."""
    example["model"], example["search"] = "mixtral-8x22b", {}
    example["requirements"] = {"ttft_p50_ms": 50, "max_sequence_tokens": 8192}
    example["workload"] |= {"prompt_tokens": 1000, "requests_per_s": 10}
    stated = Stated(example)
    wide = WideSearch(stated, stated.problem())
    relaxations = tuple(relaxation for relaxation in wide.relaxations if relaxation.id in ("ttft_p50", "rate"))
    values = least_changes(wide, relaxations, Least(stated, Oracle()))
    assert values is not None and set(values) == {"requirements.ttft_p50_ms", "workload.requests_per_s"}
    assert feasible(stated, values)
    assert values["requirements.ttft_p50_ms"] / 50 < 5 and 10 / values["workload.requests_per_s"] < 5


def test_a_trade_where_more_requests_need_less() -> None:
    """With two stages more requests pass side by side, so that a higher rate can leave room in a prefill limit."""
    stated = stated_problem(690)
    wide = WideSearch(stated, stated.problem())
    for repair in find_repairs(wide, solved_again):
        judge(wide, stated, repair)


def test_masks_of_repairs_end_with_their_time() -> None:
    """From the fuzzer: with very many users the tables of more nodes took minutes beyond any time limit."""
    _, stated = next(infeasible(range(SEEDS)))
    wide, late = WideSearch(stated, stated.problem()), Patience(0.0)
    assert find_repairs(wide, solved_again, patience=late) == () and late.cut
    assert find_repairs(wide, solved_again)
