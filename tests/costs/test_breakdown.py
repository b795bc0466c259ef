"""Terms add up to what the tables say, for one stage and for several, dense and MoE."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict
from optimizer.costs.breakdown import breakdown
from optimizer.costs.shapes import Shape
from optimizer.facts.cost_table import Correction, CostTable
from tests.conftest import changed


@pytest.mark.parametrize(("tp", "pp"), [(8, 1), (4, 2), (2, 4)])
@pytest.mark.parametrize("model", ["llama3-70b", "mixtral-8x7b", "gpt-oss-120b"])
def test_terms_add_up(example: dict[str, Any], model: str, tp: int, pp: int) -> None:
    stated = changed(example, model=model, search__weight_precision=None, search__kv_precision=None)
    answer = check(problem_from_dict(stated), Fixed(tp, pp, 1))
    terms, metrics = answer.breakdown, answer.metrics
    assert terms is not None and metrics is not None
    sums = [sum(stage.values()) for stage in terms["memory_bytes_by_stage"]]
    assert tuple(sums) == metrics.memory_bytes_per_stage
    assert sum(terms["decode_ms"].values()) == pytest.approx(terms["round_ms"])
    assert ("experts" in terms["decode_ms"]) == (model != "llama3-70b")
    assert all(value > 0 for value in terms["prefill_ms"].values())


def test_another_source_of_costs_is_a_term_of_its_own(example: dict[str, Any]) -> None:
    problem = problem_from_dict(example)
    twice = ((1, 2.0),)
    curves = {"round": twice, "token": twice, "admission": twice, "prefill": twice}
    correction = Correction(
        tensor_parallel=8, pipeline_parallel=1, expert_parallel=1, weight_precision="fp16", kv_precision=None,
        prompt=1.0, least=1, most=64, samples=1, **curves,
    )  # fmt: skip
    costs = CostTable(source="table", origin="my runs", corrections=(correction,))
    shape = Shape(8, 1, 1, "fp16", "fp16", (80,))
    found = breakdown(problem.model_copy(update={"costs": costs}), shape, 64, 8)
    alone = breakdown(problem, shape, 64, 8)
    assert found["round_ms"] == pytest.approx(2 * alone["round_ms"])
    assert found["decode_ms"]["correction by table: my runs"] == pytest.approx(alone["round_ms"])
    assert sum(found["decode_ms"].values()) == pytest.approx(found["round_ms"])
