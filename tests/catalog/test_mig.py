"""MIG slices: fractions of their GPU, memory as ``nvidia-smi mig -lgip`` prints it, and no link to any other."""

from __future__ import annotations

import pytest

from optimizer import Fixed, check, problem_from_dict
from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError

STATED = {
    "hardware": {"gpu": "h100-sxm-80gb-mig-3g.40gb", "nodes": 1, "gpus_per_node": 2},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 0.5},
}


@pytest.mark.parametrize(
    ("profile", "gib", "slices"), [("1g.10gb", 9.75, 7), ("2g.20gb", 19.62, 3), ("3g.40gb", 39.5, 2)]
)
def test_memory_of_slices_of_h100(profile: str, gib: float, slices: int) -> None:
    gpu = catalog.gpu(f"h100-sxm-80gb-mig-{profile}")
    assert gpu.process_mib / 1024 == pytest.approx(gib, rel=0.005)
    assert gpu.process_mib / 1024 < gib + 0.01  # as printed, two decimals
    assert gpu.gpus_per_node == 8 * slices


@pytest.mark.parametrize("ending", ["+me", "+me.all", "+gfx", "-me"])
def test_video_units_change_neither_memory_nor_sms(ending: str) -> None:
    # 1g.10gb+me of the MIG user guide: the same fractions, one NVDEC more.
    assert catalog.gpu(f"h100-sxm-80gb-mig-1g.10gb{ending}") == catalog.gpu("h100-sxm-80gb-mig-1g.10gb")


def test_workstation_cards_are_cut_into_quarters() -> None:
    whole, part = catalog.gpu("rtx-pro-6000-server"), catalog.gpu("rtx-pro-6000-server-mig-1g.24gb")
    assert part.dense_tflops["bf16"] == whole.dense_tflops["bf16"] / 4
    assert 23.5 < part.process_mib / 1024 < 24 and part.compute_capability == "12.0"


def test_a_slice_is_a_fraction_of_its_gpu() -> None:
    whole, part = catalog.gpu("h200"), catalog.gpu("H200 MIG 4g.71gb")
    assert part.name == "h200-sxm-141gb-mig-4g.71gb"
    assert part.memory_bandwidth_gb_per_s == whole.memory_bandwidth_gb_per_s / 2
    assert part.dense_tflops["bf16"] == pytest.approx(whole.dense_tflops["bf16"] * 4 / 7)
    assert (part.nvlink_gb_per_s, part.nvlink_domain_gpus, part.peer_links) == (0, 1, False)
    assert part.compute_capability == "9.0"


@pytest.mark.parametrize("name", ["h100-sxm-80gb-mig-5g.40gb", "l40s-48gb-mig-1g.6gb", "a100-sxm-40gb-mig-3g.40gb"])
def test_what_is_no_slice_is_refused(name: str) -> None:
    with pytest.raises(ProblemError, match="slices"):
        catalog.gpu(name)


def test_every_slice_serves_by_itself() -> None:
    problem = problem_from_dict(STATED)
    assert (problem.search.tensor_parallel, problem.search.pipeline_parallel) == ((1,), (1,))
    with pytest.raises(ProblemError, match=r"search\.tensor_parallel.*reaches no other GPU"):
        problem_from_dict({**STATED, "search": {"tensor_parallel": [1, 2]}})
    with pytest.raises(ProblemError, match=r"--tp.*reaches no other GPU"):
        check(problem, Fixed(tensor_parallel=2))
