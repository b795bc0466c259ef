"""Catalog entries: the promised names are there and every figure names its source."""

from __future__ import annotations

import pytest

from optimizer.catalog import lookup as catalog
from optimizer.catalog.constants import constants

PROMISED_GPUS = ["h100-sxm-80gb", "h100-pcie-80gb", "h200-sxm-141gb", "gb200-nvl72", "a100-sxm-40gb", "a100-sxm-80gb"]
PROMISED_GPUS += ["l40s-48gb", "l4-24gb", "mi300x-192gb", "b200"]
PROMISED_GPUS += [
    "RTX 3090",
    "RTX 4090",
    "rtx-4090-48gb",
    "rtx-5090",
    "RTX A6000",
    "rtx-6000-ada",
    "a10",
    "a10g",
    "a16",
    "a30",
]
PROMISED_GPUS += [
    "rtx-pro-6000-server",
    "rtx-pro-6000-workstation",
    "a40",
    "a100-pcie-40gb",
    "v100-16gb",
    "v100-32gb",
    "t4",
]
PROMISED_GPUS += [
    "l20",
    "l40",
    "h800",
    "a800",
    "gh200",
    "gb10",
    "mi210",
    "mi250x",
    "mi300a",
    "mi308x",
    "mi325x",
    "mi350x",
]
PROMISED_GPUS += ["gaudi2", "gaudi3"]
PROMISED_MODELS = ["llama3-8b", "llama3-70b", "llama3.1-8b", "llama3.1-70b", "llama3.1-405b", "qwen3-32b"]
PROMISED_MODELS += [
    "qwen3-235b-a22b",
    "mixtral-8x7b",
    "deepseek-v3",
    "gpt-oss-120b",
    "meta-llama/Meta-Llama-3-70B-Instruct",
]


@pytest.mark.parametrize("name", PROMISED_GPUS)
def test_promised_gpus(name: str) -> None:
    assert catalog.gpu(name).memory_bytes > 0


@pytest.mark.parametrize(
    ("name", "gib"),
    [("h100", 79.10), ("h200", 139.80), ("rtx-3090", 23.69), ("l4", 22.03), ("b200", 178.35), ("mi300x", 191.98)],
)
def test_memory_is_what_a_process_gets(name: str, gib: float) -> None:
    # As PyTorch prints the total capacity of such a card; nvidia-smi prints more.
    gpu = catalog.gpu(name)
    assert gpu.memory_bytes / 2**30 == pytest.approx(gib, abs=0.01)
    assert gpu.memory_mib - gpu.reserved_mib == gpu.process_mib


@pytest.mark.parametrize("name", PROMISED_MODELS)
def test_promised_models(name: str) -> None:
    assert catalog.model(name).parameters > 0


@pytest.mark.parametrize("name", catalog.names("gpus"))
def test_every_gpu_figure_has_a_source(name: str) -> None:
    entry = catalog.entry("gpus", name)
    figures = set(entry) - {"name", "title", "aliases", "sources", "notes"}
    assert figures == set(entry["sources"])
    assert all(len(source) > 10 for source in entry["sources"].values())


@pytest.mark.parametrize("name", catalog.names("models"))
def test_every_model_has_its_sources(name: str) -> None:
    entry = catalog.entry("models", name)
    assert entry["source"] and entry["published_parameters_source"]


def test_aliases_are_unique() -> None:
    for kind in ("gpus", "models"):
        names = [
            alias for name in catalog.names(kind) for alias in [name, *catalog.entry(kind, name).get("aliases", [])]
        ]
        assert len(names) == len(set(names))


def test_failure_defaults_follow_from_the_counts() -> None:
    # Llama 3 paper (arXiv 2407.21783), table 5: 268 GPU and 21 host interruptions in 21,233,664 GPU-hours, 8 GPUs a host.
    rates = catalog.failure_defaults()
    assert rates.gpu_mtbf_hours == pytest.approx(21_233_664 / 268)
    assert rates.node_mtbf_hours == pytest.approx(21_233_664 / 8 / 21)
    assert rates.repair_hours == 2.2


def test_every_weight_format_runs_on_every_gpu() -> None:
    for entry in constants().formats.values():
        assert {"bf16", "fp16"} & set(entry.compute)
