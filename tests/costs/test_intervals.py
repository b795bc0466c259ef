"""Prediction intervals: from runs like the answer, and as wide as physics allows where there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.catalog.accuracy import FEWEST_RUNS, Features, like, strata
from optimizer.catalog.constants import constants, plausible_constants
from optimizer.costs.features import features_of
from optimizer.costs.intervals import interval_of
from optimizer.costs.shapes import Shape
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

ONE_NODE = {
    "hardware": {"gpu": "h200", "nodes": 2},
    "model": "deepseek-r1",
    "workload": {"prompt_tokens": 1024, "output_tokens": 512, "requests_per_s": 1},
}


def stated(**changes: object) -> Problem:
    return problem_from_dict({**ONE_NODE, **changes})


def shape(tp: int, layers: int, weights: str = "fp8", pp: int = 1) -> Shape:
    return Shape(tp, pp, 1, weights, "bf16", (layers // pp,) * pp)


def test_residuals_are_in_order_and_hold_their_runs() -> None:
    assert strata()
    for stratum in strata():
        assert stratum.runs >= FEWEST_RUNS and stratum.models
        for errors in (stratum.tpot, stratum.ttft):
            if errors is not None:
                assert errors.p5 < errors.p10 < errors.p50 < errors.p90 < errors.p95
        for share in stratum.coverage:
            assert share is None or share >= 70


def test_a_tp_group_over_two_nodes_was_never_measured() -> None:
    problem = stated()
    found = interval_of(problem, shape(16, 61), 1)
    assert found.stratum is None
    low, high = found.tpot
    assert low < 0.7 and high > 1.5, "as wide as physics allows"


def test_what_was_measured_has_the_interval_of_runs_like_it() -> None:
    problem = stated(model="qwen3-32b", hardware={"gpu": "h100", "nodes": 1})
    found = interval_of(problem, shape(4, 64), 8)
    assert found.stratum is not None and found.stratum.features.place == "NVLink"
    assert found.ttft_measured
    assert found.tpot[0] < 1 < found.tpot[1] < 2


def test_first_tokens_over_pcie_were_not_measured() -> None:
    problem = stated(model="llama3.3-70b", hardware={"gpu": "l40s", "nodes": 1})
    found = interval_of(problem, shape(4, 80), 8)
    assert found.stratum is not None and found.stratum.throughput_only and not found.ttft_measured
    assert found.ttft[1] / found.ttft[0] > found.tpot[1] / found.tpot[0]


def test_soft_features_are_given_up_one_by_one() -> None:
    known = next(stratum for stratum in strata() if stratum.features.engine)
    assert like(known.features) == known
    other = like(replace(known.features, engine="another"))
    assert other is not None and not other.features.engine
    assert like(replace(known.features, place="TP or EP over nodes")) is None


@pytest.mark.parametrize(
    ("tp", "pp", "place"), [(8, 1, "NVLink"), (16, 1, "TP or EP over nodes"), (8, 2, "stages over nodes")]
)
def test_where_a_replica_stands(tp: int, pp: int, place: str) -> None:
    problem = stated(model="llama3.3-70b")
    found: Features = features_of(problem.model, problem.hardware, shape(tp, 80, pp=pp), "vllm", 1.0)
    assert found.place == place and found.bits == "8"


def test_best_and_worst_constants_lie_around_the_shipped_ones() -> None:
    best, worst = plausible_constants()
    for name in ("eta_bw", "t_layer", "network_reduce_steps", "overlap"):
        ends = sorted((getattr(best, name), getattr(worst, name)))
        assert ends[0] <= getattr(constants(), name) <= ends[1]
