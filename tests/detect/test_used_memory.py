"""Memory that other processes hold reduces what is planned, from nvidia-smi to the launch flag; GA102's NVLink pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict
from optimizer.deployment.memory import usable_share
from optimizer.detect.hardware import parts_of
from optimizer.detect.inventory import detected
from optimizer.detect.machine import SeenGpu, SeenHost
from optimizer.facts.errors import ProblemError
from tests.conftest import changed

QUESTION: dict[str, Any] = {
    "hardware": {"gpu": "l4-24gb", "gpus_per_node": 4, "memory_used_mib": [3500, 0, 0, 0]},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 100, "output_tokens": 50, "requests_per_s": 1},
    "requirements": {"max_sequence_tokens": 1024, "max_batch": 8},
}
L4 = SeenGpu(0, "NVIDIA L4", "", "GPU-0", 23034, 4, 16, "")


def _host(*gpus: SeenGpu, kind: str = "PHB", pairs: tuple[tuple[int, int], ...] = ()) -> SeenHost:
    numbered = tuple(replace(gpu, index=i, uuid=f"GPU-{i}") for i, gpu in enumerate(gpus))
    links = {(a, b): kind for a in range(len(gpus)) for b in range(len(gpus)) if a != b}
    for a, b in pairs:
        links[a, b] = links[b, a] = "NV4"
    return SeenHost("box", numbered, links)


def test_a_partly_used_gpu_is_planned_with_what_is_free() -> None:
    used = replace(L4, used_mib=3500, busy=("3,500 MiB in use by processes that cannot be seen from here",))
    found = detected(parts_of([_host(used, L4, L4, L4)], busy_counts=True), None)
    hardware = found.values["hardware"]
    assert hardware["gpus_per_node"] == 4 and hardware["memory_used_mib"] == [3500, 0, 0, 0]
    assert any("3,500" in remark for remark in found.remarks)


def test_a_gpu_that_is_mostly_used_is_left_out() -> None:
    used = replace(L4, used_mib=20_000, busy=("20,000 MiB in use by processes that cannot be seen from here",))
    assert detected(parts_of([_host(used, L4)], busy_counts=True), None).values["cluster"][0]["free_gpus"] == 1


def test_the_budget_is_what_other_processes_leave() -> None:
    problem = problem_from_dict(QUESTION)
    # 0.9 of 22,559 MiB would be more than the 19,059 MiB that are free: the engine would not start.
    assert problem.hardware.free_bytes == (22_559 - 3_500) * 2**20
    answer = check(problem, Fixed(4, 1, 1))
    [memory] = [rule for rule in answer.rules if rule.id == "memory"]
    # vLLM looks at what is free when its own CUDA context, 300 MiB, has been made, and refuses to start where it asks for more.
    assert memory.limit == problem.hardware.free_bytes - 300 * 2**20
    assert answer.verification is not None and answer.verification.passed
    assert usable_share([problem]) == pytest.approx(0.831, abs=1e-3) and usable_share([problem]) * 22_559 <= 18_759


@pytest.mark.parametrize(("used", "said"), [([1, 2], "2 figures for 4 GPUs"), (23_000, "leaves nothing")])
def test_refusals(used: Any, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        problem_from_dict(changed(QUESTION, hardware__memory_used_mib=used))


def test_bridged_pairs_of_a_card_without_a_stated_architecture() -> None:
    card = SeenGpu(0, "NVIDIA GeForce RTX 3090", "", "GPU-0", 24576, 4, 16, "")
    found = detected(parts_of([_host(card, card, card, card, pairs=((0, 2), (1, 3)))], busy_counts=True), None)
    hardware = found.values["hardware"]
    assert (hardware["gpu"], hardware["nvlink_domain_gpus"], hardware["nvlink_gb_per_s"]) == ("rtx-3090-24gb", 2, 112.5)
