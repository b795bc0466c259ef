"""Small questions about several models."""

from __future__ import annotations

import copy
from typing import Any

from optimizer.facts.several import SeveralProblem
from optimizer.reading.several import several_from_dict

FIRST: dict[str, Any] = {
    "name": "first",
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 2},
    "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 60, "max_batch": 64},
    "search": {"tensor_parallel": [1, 2], "pipeline_parallel": [1]},
}
SECOND: dict[str, Any] = {**FIRST, "name": "second", "model": "qwen3-8b"}
SMALL: dict[str, Any] = {
    "name": "small",
    "hardware": {"gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 4},
    "models": [FIRST, SECOND],
}


def values_with(first: Any = None, second: Any = None, **changes: Any) -> dict[str, Any]:
    """``SMALL`` with sections changed; a mapping updates its section, of an entry one level deeper."""
    values = copy.deepcopy(SMALL)
    for name, value in changes.items():
        values[name] = values[name] | value if isinstance(value, dict) and name in values else value
    for entry, more in zip(values["models"], (first, second), strict=True):
        for name, value in (more or {}).items():
            entry[name] = entry[name] | value if isinstance(value, dict) and name in entry else value
    return values


def problem_with(first: Any = None, second: Any = None, **changes: Any) -> SeveralProblem:
    """The same, resolved."""
    return several_from_dict(values_with(first, second, **changes))
