"""NVLink bridges between pairs: honoured wherever stated, crossed by wider groups, never worse than none."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict

CARD: dict[str, Any] = {
    "name": "rtx-3090-24gb",
    "memory_mib": 24576,
    "memory_bandwidth_gb_per_s": 936,
    "dense_tflops": {"fp16": 71, "bf16": 71},
    "pcie_gb_per_s": 16,
    "gpus_per_node": 4,
}
BRIDGED = {**CARD, "nvlink_gb_per_s": 112.5, "nvlink_domain_gpus": 2}
QUESTION: dict[str, Any] = {
    "model": "qwen2.5-32b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 300, "requests_per_s": 0.2},
    "requirements": {"max_sequence_tokens": 4096},
}


def _problem(gpu: dict[str, Any], **hardware: Any) -> Any:
    return problem_from_dict({"hardware": {"gpu": gpu, "gpus_per_node": 4, **hardware}, **QUESTION})


def test_pairs_stated_with_the_gpu_or_with_the_node_are_the_same() -> None:
    with_gpu = _problem(BRIDGED).hardware
    assert with_gpu.nvlink_domain_gpus == 2
    assert _problem(CARD, nvlink_gb_per_s=112.5, nvlink_domain_gpus=2).hardware.nvlink_domain_gpus == 2
    group = inventory_from_dict({"cluster": [{"gpu": BRIDGED, "gpus_per_node": 4}], **QUESTION}).groups[0]
    assert group.nvlink_domain_gpus == 2


def test_four_gpus_over_two_bridges_are_priced_by_their_slowest_hop() -> None:
    # vllm 7958: 32.6 ms P99 if all four were on NVLink, 49.8 ms over PCIe between the pairs.
    bridged, plain = (check(_problem(gpu), Fixed(4, 1, 1)) for gpu in (BRIDGED, CARD))
    assert bridged.status in ("feasible", "optimal") and bridged.metrics is not None and plain.metrics is not None
    assert bridged.metrics.tpot_p99_ms == pytest.approx(49.8, abs=1.5)
    assert 32.6 < bridged.metrics.tpot_p99_ms <= plain.metrics.tpot_p99_ms


def test_a_box_with_bridges_is_never_worse() -> None:
    bridged, plain = solve(_problem(BRIDGED)), solve(_problem(CARD))
    assert bridged.objective is not None and plain.objective is not None
    assert bridged.objective.value <= plain.objective.value
    assert bridged.verification is not None and bridged.verification.passed


def test_inventories_cross_bridges_too() -> None:
    inventory = inventory_from_dict(
        {"cluster": [{"gpu": BRIDGED, "gpus_per_node": 4}], "search": {"tensor_parallel": [4]}, **QUESTION}
    )
    answer = solve_inventory(inventory)
    assert answer.gpus_used == 4 and len(answer.pools) == 1
    assert answer.verification is not None and answer.verification.passed
