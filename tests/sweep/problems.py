"""A small problem whose points take milliseconds, as a file and as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.generate import DENSE

SMALL: dict[str, Any] = {
    "name": "small",
    "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 4, "price_per_gpu_hour": 0.7},
    "model": DENSE,
    "workload": {"prompt_tokens": 200, "output_tokens": 20, "requests_per_s": 4},
    "requirements": {"max_batch": 16, "max_sequence_tokens": 2048, "ttft_p99_ms": 900, "tpot_p99_ms": 60},
    "search": {"pipeline_parallel": [1, 2]},
}
"""Infeasible on one GPU at higher loads, feasible on more; nodes of 4 GPUs."""


def written(folder: Path, **sections: Any) -> str:
    """The small problem as a file, with sections replaced."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL | sections))
    return str(path)


def scenarios(folder: Path, values: dict[str, Any]) -> str:
    """A scenario file."""
    path = folder / "scenarios.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return str(path)
