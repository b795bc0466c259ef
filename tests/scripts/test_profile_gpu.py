"""The profiler: fitting and writing without PyTorch, and a toy run on the CPU where PyTorch is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer import problem_from_dict
from optimizer.catalog.constants import constants


def measured(**changes: Any) -> Any:
    """A GPU that reads 2,700 GB/s and multiplies at 660 (1,200 in fp8) TFLOP/s."""
    from profiling.entry import AllReduce, Product, Profile

    def product(name: str, tokens: int, rate: float, size: int) -> Product:
        inner, outer = 4096, 8192
        ms = max(inner * outer * size / 2.7e9, 2 * tokens * inner * outer / rate / 1e9)
        return Product(name, tokens, inner, outer, size, ms)

    products = [product("bf16", tokens, 660, 2) for tokens in (1, 8, 16, 256, 4096)] + [product("fp8", 4096, 1200, 1)]
    reduces = (AllReduce(8, 1 << 28, 2 * 7 / 8 * (1 << 28) / 340e6), AllReduce(8, 1 << 16, 1.0))
    values = {"memory_mib": 81559, "gpus": 8, "products": tuple(products), "all_reduces": reduces}
    rates = {"copy_gb_per_s": 2900.0, "attention_gb_per_s": 2500.0, "launch_us": 4.0}
    return Profile(**{"name": "my-gpu", **values, **rates, **changes})


def test_the_entry_gives_back_what_was_measured() -> None:
    from profiling.entry import PRODUCT_SHARE, hardware_entry

    gpu = hardware_entry(measured())["gpu"]
    c = constants()
    assert gpu["memory_bandwidth_gb_per_s"] * c.eta_bw == pytest.approx(2700, rel=1e-3)
    assert gpu["dense_tflops"]["bf16"] * PRODUCT_SHARE == pytest.approx(660, rel=1e-3)
    assert gpu["dense_tflops"]["fp8"] * PRODUCT_SHARE == pytest.approx(1200, rel=1e-3)
    assert gpu["nvlink_gb_per_s"] / 2 / c.ar_factor == pytest.approx(340, rel=1e-3)
    assert gpu["nvlink_domain_gpus"] == gpu["gpus_per_node"] == 8


def test_slow_links_are_pcie_and_none_are_left_open() -> None:
    from profiling.entry import AllReduce, as_yaml, hardware_entry

    slow = (AllReduce(8, 1 << 28, 2 * 7 / 8 * (1 << 28) / 20e6),)
    gpu = hardware_entry(measured(all_reduces=slow))["gpu"]
    assert "nvlink_gb_per_s" not in gpu
    assert gpu["pcie_gb_per_s"] == pytest.approx(20 * constants().ar_factor, rel=1e-3)
    alone = measured(gpus=1, all_reduces=())
    assert "pcie_gb_per_s" not in hardware_entry(alone)["gpu"]
    assert "were not measured" in as_yaml(alone, "2026-11-22")


def test_the_file_is_a_hardware_section() -> None:
    from profiling.entry import as_yaml, hardware_entry

    written = yaml.safe_load(as_yaml(measured(), "2026-11-22"))
    assert written == {"hardware": hardware_entry(measured())}
    work = {"prompt_tokens": 100, "output_tokens": 10, "requests_per_s": 1}
    problem = problem_from_dict(written | {"model": "llama3.1-8b", "workload": work})
    assert problem.hardware.gpu.name == "my-gpu"
    assert problem.hardware.gpus == problem.hardware.nvlink_domain_gpus == 8


@pytest.mark.parametrize("ms", [0.0, -1.0, float("nan")])
def test_times_that_are_none_are_refused(ms: float) -> None:
    from dataclasses import replace

    from profiling.entry import hardware_entry

    profile = measured()
    with pytest.raises(ValueError, match="not positive"):
        hardware_entry(measured(products=(replace(profile.products[0], ms=ms), *profile.products[1:])))
    with pytest.raises(ValueError, match="no 16-bit"):
        hardware_entry(measured(products=profile.products[-1:]))


def test_a_toy_run_on_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    import profile_gpu

    out = tmp_path / "gpu.yaml"
    assert profile_gpu.main(["--device", "cpu", "--toy", "--out", str(out)]) == 0
    assert "TOY SIZES" in out.read_text()
    work = {"prompt_tokens": 100, "output_tokens": 10, "requests_per_s": 1}
    problem = problem_from_dict(yaml.safe_load(out.read_text()) | {"model": "llama3.1-8b", "workload": work})
    assert problem.hardware.gpu.name == "cpu-measured"


def test_all_reduce_over_two_processes() -> None:
    pytest.importorskip("torch")
    from profiling.measure import TOY, all_reduces

    (one,) = all_reduces(2, "cpu", TOY)
    assert one.ranks == 2 and one.ms > 0


def test_what_is_missing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    import profile_gpu

    assert profile_gpu.main(["--model", "nope"]) == 2
    assert "--model" in capsys.readouterr().err
    try:
        import torch
    except ModuleNotFoundError:
        assert profile_gpu.main([]) == 2
        assert "PyTorch is needed" in capsys.readouterr().err
    else:
        if not torch.cuda.is_available():
            assert profile_gpu.main([]) == 2
            assert "sees no GPU" in capsys.readouterr().err
