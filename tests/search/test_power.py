"""Power limits of equal nodes: which GPUs may work, the same optimum as by trying each, and what is said where none may."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from optimizer import Fixed, ProblemError, check, problem_from_dict, solve
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.reading.stated import stated_of
from optimizer.search.uniform import replica_counts
from optimizer.search.uniform.replica_counts import considered
from optimizer.search.uniform.solve import Solver
from optimizer.verify.common.power import most_in_use, watts_of
from tests.conftest import changed
from tests.search.test_rules import SMALL

# Board power and idle power of the catalog's H100 SXM (NVIDIA datasheet: up to 700 W; nvidia-smi of idle cards: 70 W).
LOAD_W, IDLE_W = 700, 70


def hardware(**stated: Any) -> HardwareFacts:
    found: HardwareFacts = problem_from_dict(
        changed(SMALL, **{f"hardware__{k}": v for k, v in stated.items()})
    ).hardware
    return found


def test_gpus_that_the_limit_of_a_node_lets_work() -> None:
    # 4 GPUs at idle draw 280 W, each at work 630 W more: 3 need 2,170 W beside the host's 300 W.
    for watts, working in ((2169 + 300, 2), (2170 + 300, 3), (2800 + 300, 4), (9000, 4)):
        here = hardware(node_power_limit_watts=watts, host_watts=300)
        assert (here.gpus_per_node, here.built_in_per_node, here.gpus) == (working, 4, 2 * working)
        assert watts_of(here, 1, working) <= watts
        assert working == 4 or watts_of(here, 1, working + 1) > watts


def test_all_nodes_together() -> None:
    least = 8 * IDLE_W
    for used in range(9):
        at = least + used * (LOAD_W - IDLE_W)
        here = hardware(power_limit_watts=at)
        assert most_in_use(here) == used and watts_of(here, 2, used) == at
    assert most_in_use(hardware(power_limit_watts=least - 1)) == -1


@pytest.mark.parametrize("watts", [3000, 2000, 1190])
def test_the_optimum_is_that_of_the_gpus_that_may_work(watts: int) -> None:
    limited = solve(problem_from_dict(changed(SMALL, hardware__power_limit_watts=watts)))
    assert limited.verification.passed and limited.verification.optimality == "exhaustive"
    used = (watts - 8 * IDLE_W) // (LOAD_W - IDLE_W)
    best = None
    for tp, pp, dp in itertools.product((1, 2, 4), (1, 2), range(1, 9)):
        if tp * pp * dp <= used:
            one = check(problem_from_dict(SMALL), Fixed(tp, pp, dp), repairs=False)
            if one.feasible and one.objective is not None and (best is None or one.objective.value < best):
                best = one.objective.value
    assert limited.objective is not None and limited.objective.value == best
    assert limited.strategy is not None and limited.strategy.gpus <= used


def test_counts_by_ranges_end_where_the_limit_does(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_from_dict(changed(SMALL, hardware__nodes=9, hardware__power_limit_watts=12_000))
    every = Solver().best(considered(problem)).choice
    monkeypatch.setattr(replica_counts, "MOST_ENUMERATED", 0)
    few = considered(problem)
    found = Solver().best(few).choice
    assert every is not None and found is not None
    whole = solve(problem)
    assert whole.strategy is not None and int(np.asarray(few.space.gpus)[found.row]) == whole.strategy.gpus
    assert whole.strategy.gpus <= (12_000 - 36 * IDLE_W) // (LOAD_W - IDLE_W)


def test_too_little_for_one_gpu_names_the_node_and_what_would_be_enough() -> None:
    answer = solve(problem_from_dict(changed(SMALL, hardware__node_power_limit_watts=900)))
    assert answer.status == "infeasible" and answer.conflicts[0].rules == ("power_node",)
    changes = [[(one.field, one.new) for one in repair.changes] for repair in answer.repairs]
    assert [("hardware.node_power_limit_watts", 910)] in changes
    assert answer.verification.passed


def test_what_is_not_known_is_asked_for() -> None:
    facts = problem_from_dict(SMALL).hardware.gpu.model_dump()
    for missing, said in (("tdp_watts", "hardware.gpu"), ("idle_watts", "hardware.idle_watts")):
        with pytest.raises(ProblemError, match=said):
            gpu = {**facts, "name": "mine", missing: None}
            problem_from_dict(changed(SMALL, hardware__gpu=gpu, hardware__power_limit_watts=3000))
    stated = hardware(gpu={**facts, "idle_watts": None}, idle_watts=50, power_limit_watts=3000)
    assert stated.gpu.idle_watts == 50
    with pytest.raises(ProblemError, match="serving: joint"):
        problem_from_dict(changed(SMALL, serving="disaggregated", hardware__power_limit_watts=3000))


def test_hardware_is_stated_as_it_is() -> None:
    for stated in (
        {"node_power_limit_watts": 2500, "host_watts": 300},
        {"power_limit_watts": 4000},
        {"pricing": "reserved"},
    ):
        problem = problem_from_dict(changed(SMALL, **{f"hardware__{key}": value for key, value in stated.items()}))
        assert isinstance(problem, Problem)
        assert problem_from_dict(stated_of(problem).values) == problem
