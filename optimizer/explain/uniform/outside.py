"""Which limits of the search leave a strategy out."""

from __future__ import annotations

from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed, Strategy

NOT_TRIED = "search.expert_parallel, search.layer_imbalance or a degree that is not tried by default"


def fields_outside(problem: Problem, chosen: Fixed | Strategy) -> tuple[str, ...]:
    """Fields of the search whose lists do not hold what was chosen; a decision that is left open is in all of them."""
    search, model = problem.search, problem.model
    lists: dict[str, tuple[object, tuple[object, ...] | None]] = {
        "search.tensor_parallel": (chosen.tensor_parallel, search.tensor_parallel),
        "search.pipeline_parallel": (chosen.pipeline_parallel, search.pipeline_parallel),
        "search.data_parallel": (chosen.data_parallel, search.data_parallel),
        "search.weight_precision": (chosen.weight_precision, search.weight_precision or (model.native_weight_format,)),
        "search.kv_precision": (chosen.kv_precision, search.kv_precision or (model.native_kv_format,)),
    }
    return tuple(field for field, (value, offered) in lists.items() if value and offered and value not in offered)
