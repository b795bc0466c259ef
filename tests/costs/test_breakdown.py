"""Terms add up to what the tables say, for one stage and for several, dense and MoE."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict
from tests.conftest import changed


@pytest.mark.parametrize(("tp", "pp"), [(8, 1), (4, 2), (2, 4)])
@pytest.mark.parametrize("model", ["llama3-70b", "mixtral-8x7b", "gpt-oss-120b"])
def test_terms_add_up(born: dict[str, Any], model: str, tp: int, pp: int) -> None:
    stated = changed(born, model=model, search__weight_precision=None, search__kv_precision=None)
    answer = check(problem_from_dict(stated), Fixed(tp, pp, 1))
    terms, metrics = answer.breakdown, answer.metrics
    assert terms is not None and metrics is not None
    sums = [sum(stage.values()) for stage in terms["memory_bytes_by_stage"]]
    assert tuple(sums) == metrics.memory_bytes_per_stage
    assert sum(terms["decode_ms"].values()) == pytest.approx(terms["round_ms"])
    assert ("experts" in terms["decode_ms"]) == (model != "llama3-70b")
    assert all(value > 0 for value in terms["prefill_ms"].values())
