"""Questions for which joint instances beside pools are best."""

from __future__ import annotations

from typing import Any

from optimizer.results.pools import FixedPool, FixedPools

NEAR_SATURATION: dict[str, Any] = {
    "serving": "any",
    "hardware": {"gpus_per_node": 5},
    "workload": {"prompt_tokens": 4000, "requests_per_s": 24},
    "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 60},
}
"""Neither kind alone fills five GPUs well."""
POOLS_BEST: dict[str, Any] = NEAR_SATURATION | {
    "hardware": {"gpus_per_node": 4},
    "workload": {"prompt_tokens": 4000, "requests_per_s": 12},
}
"""Four GPUs are filled by pools alone."""
TWO_NODES: dict[str, Any] = NEAR_SATURATION | {
    "hardware": {"nodes": 3, "gpus_per_node": 2, "internode_gbit_per_s": 400},
    "workload": {"prompt_tokens": 4000, "requests_per_s": 22},
    "objective": {"gpu_ms": 3.0},
}
ONLY_TOGETHER: dict[str, Any] = NEAR_SATURATION | {
    "hardware": {"gpus_per_node": 3},
    "workload": {"prompt_tokens": 2000, "requests_per_s": 27},
    "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 20},
}
"""Three joint instances carry 22.5 requests/s, the best pools on three GPUs 24.3; one joint instance beside 1P1D 30.1."""
ONE_BESIDE_TWO = FixedPools(FixedPool(tensor_parallel=1, count=1), FixedPool(tensor_parallel=1, count=1))
"""1P1D."""
