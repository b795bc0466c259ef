"""Small questions about pools."""

from __future__ import annotations

import copy
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

SMALL: dict[str, Any] = {
    "name": "small",
    "serving": "disaggregated",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1},
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 1500, "output_tokens": 200, "requests_per_s": 40},
    "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 30},
}


def values_with(**changes: Any) -> dict[str, Any]:
    """``SMALL`` with sections changed; a mapping updates its section."""
    values = copy.deepcopy(SMALL)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            values[name] |= value
        else:
            values[name] = value
    return values


def problem_with(**changes: Any) -> Problem:
    """The same, resolved."""
    return problem_from_dict(values_with(**changes))
