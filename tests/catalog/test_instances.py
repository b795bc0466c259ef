"""Instance types of clouds stand for whole nodes wherever a node or a GPU is named."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.catalog import lookup
from optimizer.catalog.instances import clouds, instance, instance_name, instance_names
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import HardwareFacts
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict
from optimizer.reading.stated import Stated

QUESTION = {
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 100, "output_tokens": 50, "requests_per_s": 1},
    "requirements": {"max_sequence_tokens": 1024},
}


def _hardware(**stated: Any) -> HardwareFacts:
    return problem_from_dict({"hardware": stated, **QUESTION}).hardware


@pytest.mark.parametrize(
    ("name", "gpu", "gpus", "gbit_per_s"),
    [
        ("p5.48xlarge", "h100-sxm-80gb", 8, 3200),
        ("a3-highgpu-8g", "h100-sxm-80gb", 8, 1000),
        ("ND96isr_H100_v5", "h100-sxm-80gb", 8, 3200),
        ("Standard_ND96isr_H200_v5", "h200-sxm-141gb", 8, 3200),
        ("g6e.12xlarge", "l40s-48gb", 4, 100),
        ("standard nc96ads a100 v4", "a100-pcie-80gb", 4, 80),
        ("gd-8xh200ib-i128", "h200-sxm-141gb", 8, 3200),
        ("BM.GPU.MI355X-v1.8", "mi355x-288gb", 8, 3200),
        ("g4-standard-384", "rtx-pro-6000-server-96gb", 8, 400),
        ("ml.p5.48xlarge", "h100-sxm-80gb", 8, 3200),
        ("u-p6e-gb200x72", "gb200-nvl72", 72, 28800),
        ("Standard_ND96is_H100_v5", "h100-sxm-80gb", 8, 80),
        ("ND128is_GB200_v6", "gb200-nvl72", 4, 160),
        ("gx3-48x240x2l40s", "l40s-48gb", 2, 96),
        ("ecs.gn7e-c16g1.32xlarge", "a100-sxm-80gb", 8, 64),
        ("H100-SXM-8-80G", "h100-sxm-80gb", 8, 20),
        ("gpu-b200-sxm/8gpu-160vcpu-1792gb", "b200-sxm-180gb", 8, 3200),
    ],
)
def test_an_instance_type_is_a_node(name: str, gpu: str, gpus: int, gbit_per_s: float) -> None:
    for stated in ({"instance_type": name}, {"gpu": name}):
        hardware = _hardware(**stated)
        assert (hardware.gpu.name, hardware.gpus_per_node, hardware.internode_gbit_per_s) == (gpu, gpus, gbit_per_s)


@pytest.mark.parametrize(
    ("name", "gpu", "gpus"),
    [
        ("VM.GPU.A100.40G.1", "a100-sxm-40gb", 1),
        ("gpu_1x_rtx6000", "quadro-rtx-6000-24gb", 1),
        ("gpu-mi300x8-1536gb", "mi300x-192gb", 8),
        ("gx3d-160x1792x8gaudi3", "gaudi3-128gb", 8),
    ],
)
def test_an_instance_type_whose_network_is_not_stated(name: str, gpu: str, gpus: int) -> None:
    assert "network_gbit_per_s" not in instance(name)
    hardware = _hardware(instance_type=name)
    assert (hardware.gpu.name, hardware.gpus_per_node) == (gpu, gpus)


def test_groups_of_an_inventory_too() -> None:
    groups = inventory_from_dict({"cluster": [{"instance_type": "g5.12xlarge", "nodes": 3}], **QUESTION}).groups
    assert (groups[0].gpu.name, groups[0].nodes, groups[0].gpus_per_node) == ("a10g-24gb", 3, 4)
    assert groups[0].internode_gbit_per_s == 40


def test_what_is_stated_beside_the_name_wins() -> None:
    hardware = _hardware(instance_type="p5.48xlarge", nodes=2, gpus_per_node=4, internode_gbit_per_s=100)
    assert (hardware.nodes, hardware.gpus_per_node, hardware.internode_gbit_per_s) == (2, 4, 100)


def test_another_node_type_brings_its_own() -> None:
    values = {"hardware": {"gpu": "l4-24gb", "gpus_per_node": 8, "internode_gbit_per_s": 50}, **QUESTION}
    hardware = Stated(values).changed({"hardware.gpu": "g6e.12xlarge"}).problem().hardware
    assert (hardware.gpu.name, hardware.gpus_per_node, hardware.internode_gbit_per_s) == ("l40s-48gb", 4, 100)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"instance_type": "p5.49xlarge"}, "did you mean"),
        ({"instance_type": 5}, "a name such as p5.48xlarge"),
        ({"instance_type": "p5.48xlarge", "gpu": "l4"}, "which has h100-sxm-80gb"),
        ({"instance_type": "p5.48xlarge", "gpus_per_node": 16}, "more than the 8 GPUs"),
    ],
)
def test_refusals(stated: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        _hardware(**stated)


@pytest.mark.parametrize("name", instance_names())
def test_every_entry_names_a_gpu_of_the_catalog(name: str) -> None:
    entry = instance(name)
    assert lookup.entry("gpus", entry["gpu"])["name"] == entry["gpu"] and entry["gpus"] >= 1
    assert instance_name(name.upper()) == name


def test_every_cloud_has_its_source() -> None:
    assert all(len(cloud["source"]) > 40 for cloud in clouds())
    assert len(instance_names()) == len(set(instance_names()))
