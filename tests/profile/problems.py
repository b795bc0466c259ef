"""Small days."""

from __future__ import annotations

import copy
from typing import Any

from optimizer.facts.profile import ProfileProblem
from optimizer.reading.profile import profile_from_dict

SMALL: dict[str, Any] = {
    "name": "small",
    "hardware": {"gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 4},
    "model": "llama3-8b",
    "workload": {
        "prompt_tokens": 1000,
        "output_tokens": 200,
        "profile": [{"hours": [0, 8], "requests_per_s": 2.0}, {"hours": [8, 24], "requests_per_s": 9.0}],
    },
    "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 60, "max_batch": 64},
    "search": {"tensor_parallel": [1, 2], "pipeline_parallel": [1]},
}


def values_with(**changes: Any) -> dict[str, Any]:
    """``SMALL`` with sections changed; a mapping updates its section."""
    values = copy.deepcopy(SMALL)
    for name, value in changes.items():
        values[name] = values[name] | value if isinstance(value, dict) and name in values else value
    return values


def day_with(**changes: Any) -> ProfileProblem:
    """The same, resolved."""
    return profile_from_dict(values_with(**changes))
