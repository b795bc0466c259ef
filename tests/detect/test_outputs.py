"""``optimizer detect`` on saved outputs in the layout of real machines: what each becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.detect.hardware import parts_of
from optimizer.detect.inventory import Detected, detected
from optimizer.detect.machine import SeenHost
from optimizer.detect.smi import parse_smi
from optimizer.detect.topo import parse_topo
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict

OUTPUTS = Path(__file__).parent / "outputs"
QUESTION: dict[str, Any] = {
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 1},
}


def host(name: str) -> SeenHost:
    gpus, lost = parse_smi((OUTPUTS / f"{name}.xml").read_text(), name)
    return SeenHost(name, gpus, parse_topo((OUTPUTS / f"{name}.topo.txt").read_text(), name, len(gpus)), lost)


def detect(*names: str, busy_counts: bool = True, internode: float | None = None) -> Detected:
    return detected(parts_of([host(name) for name in names], busy_counts=busy_counts), internode)


def node(gpu: Any, gpus: int, domain: int, nvlink: int, pcie: int, nodes: int = 1) -> dict[str, Any]:
    return {
        "gpu": gpu,
        "nodes": nodes,
        "gpus_per_node": gpus,
        "nvlink_domain_gpus": domain,
        "nvlink_gb_per_s": nvlink,
        "pcie_gb_per_s": pcie,
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("h100-mesh", node("h100-sxm-80gb", 8, 8, 900, 64)),
        ("b200-mesh", node("b200-sxm-180gb", 8, 8, 1800, 64)),
        ("l40s-numa", node("l40s-48gb", 4, 1, 0, 32)),
        # Bridges join pairs only: 12 links of 50 GB/s; the catalog entry has none.
        ("a100-pairs", node("a100-pcie-80gb", 4, 2, 600, 32)),
    ],
)
def test_a_whole_free_host(name: str, expected: dict[str, Any]) -> None:
    found = detect(name)
    assert found.values == {"hardware": expected}
    hardware = problem_from_dict({**found.values, **QUESTION}).hardware
    assert hardware.gpus == expected["gpus_per_node"]
    assert hardware.nvlink_domain_gpus == expected["nvlink_domain_gpus"]
    assert found.remarks[0] == f"node-0 is host {name}, all {hardware.gpus} GPUs free."


def test_a_catalog_gpu_keeps_the_catalogs_links() -> None:
    """What is derived from the matrix is what the catalog says of the same machine."""
    for name in ("h100-mesh", "b200-mesh", "l40s-numa"):
        stated = detect(name).values["hardware"]
        plain = problem_from_dict(
            {"hardware": {"gpu": stated["gpu"], "gpus_per_node": stated["gpus_per_node"]}, **QUESTION}
        )
        assert problem_from_dict({"hardware": stated, **QUESTION}).hardware == plain.hardware


def test_hybrid_cube_mesh_and_memory_below_the_catalogs() -> None:
    found = detect("v100-cube")
    stated = found.values["hardware"]
    assert (stated["nvlink_domain_gpus"], stated["nvlink_gb_per_s"], stated["pcie_gb_per_s"]) == (4, 200, 16)
    assert stated["gpu"]["memory_mib"] == 16160 and stated["gpu"]["memory_bandwidth_gb_per_s"] == 900
    assert problem_from_dict({**found.values, **QUESTION}).hardware.gpu.memory_mib == 16160
    assert any("domains of 4" in remark for remark in found.remarks)


def test_busy_and_broken_gpus_are_left_out() -> None:
    found = detect("h100-partly")
    [group] = found.values["cluster"]
    assert group["free_gpus"] == 5 and group["gpus_per_node"] == 8
    said = " ".join(found.remarks)
    assert "free GPUs 0, 1, 4, 6, 7" in said and "GPU 2: 1 process on it, 68,830 MiB" in said
    assert "GPU 5: a memory row could not be remapped; 3 uncorrectable memory errors" in said
    [again] = detect("h100-partly", busy_counts=False).values["cluster"]
    assert again["free_gpus"] == 7


def test_memory_in_use_without_a_visible_process_is_busy() -> None:
    found = detect("l40s-partly")
    assert found.values["cluster"][0]["free_gpus"] == 3
    assert any("GPU 1: 40,211 MiB in use by processes that cannot be seen" in remark for remark in found.remarks)
    assert detect("l40s-partly", busy_counts=False).values == {"hardware": node("l40s-48gb", 4, 1, 0, 32)}


def test_a_lost_gpu_counts_as_one_that_is_not_free() -> None:
    found = detect("h100-lost")
    [group] = found.values["cluster"]
    assert (group["gpus_per_node"], group["free_gpus"], group["nvlink_domain_gpus"]) == (8, 7, 8)
    assert any("GPU 0000:BB:00.0 cannot be reached: Unknown Error" in remark for remark in found.remarks)


def test_equal_hosts_are_nodes_of_one_group_and_unequal_ones_are_not() -> None:
    found = detect("h100-partly", "l40s-numa", "h100-lost", "l40s-partly", "h100-mesh")
    groups = {group["name"]: group for group in found.values["cluster"]}
    assert {name: (g["nodes"], g.get("free_gpus")) for name, g in groups.items()} == {
        "h100-sxm-80gb-a": (1, 5),
        "l40s-48gb-a": (1, None),
        "h100-sxm-80gb-b": (1, 7),
        "l40s-48gb-b": (1, 3),
        "h100-sxm-80gb-c": (1, None),
    }
    assert any("internode_gbit_per_s" in remark for remark in found.remarks)
    again = inventory_from_dict({**found.values, **QUESTION})
    assert again.gpus == 5 + 4 + 7 + 3 + 8
    assert {group.name: group.free_gpus for group in again.groups} == {
        name: g.get("free_gpus", g["gpus_per_node"]) for name, g in groups.items()
    }


def test_a_rack_scale_fabric_joins_the_hosts_that_were_seen() -> None:
    found = detect("gb200-tray0", "gb200-tray1", internode=400)
    expected = node("gb200-nvl72", 4, 8, 1800, 64, nodes=2) | {"internode_gbit_per_s": 400}
    assert found.values == {"hardware": expected}
    assert problem_from_dict({**found.values, **QUESTION}).hardware.nvlink_domain_gpus == 8
    assert detect("gb200-tray0").values["hardware"]["nvlink_domain_gpus"] == 4


def test_the_same_host_twice_is_refused() -> None:
    alike = SeenHost("other-name", host("h100-mesh").gpus, host("h100-mesh").links)
    with pytest.raises(ValueError, match="give the output of each host once"):
        parts_of([host("h100-mesh"), alike], busy_counts=True)


def test_free_gpus_are_named_with_whole_nvlink_pairs_first() -> None:
    """GPU 0 of a pair is broken: 2 and 3 still share a bridge, 1 has lost its partner."""
    text = (OUTPUTS / "a100-pairs.xml").read_text()
    broken = text.replace("<remapped_row_failure>No<", "<remapped_row_failure>Yes<", 1)
    gpus, lost = parse_smi(broken, "pairs")
    [part] = parts_of([SeenHost("pairs", gpus, host("a100-pairs").links, lost)], busy_counts=True)
    assert part.free == (2, 3, 1) and part.nvlink_domain_gpus == 2


def test_written_yaml_is_read_back(tmp_path: Path) -> None:
    from optimizer.render.detected import yaml_lines

    for names in (("h100-mesh",), ("h100-partly", "v100-cube")):
        found = detect(*names)
        assert yaml.safe_load("".join(yaml_lines(found))) == found.values


def test_two_gpu_types_in_one_host_fail_together() -> None:
    text = (OUTPUTS / "l40s-numa.xml").read_text()
    first, second, *rest = text.split("<product_name>NVIDIA L40S")
    mixed = (
        "<product_name>NVIDIA L40S".join([first, second])
        + "<product_name>NVIDIA L4"
        + "<product_name>NVIDIA L4".join(rest)
    )
    mixed = mixed[: len(mixed) // 4] + mixed[len(mixed) // 4 :].replace("46068 MiB", "23034 MiB")
    gpus, lost = parse_smi(mixed.replace("<free>45513", "<free>0"), "mixed")
    found = detected(parts_of([SeenHost("mixed", gpus, host("l40s-numa").links, lost)], busy_counts=True), None)
    sizes = {group["gpu"]: group["gpus_per_node"] for group in found.values["cluster"]}
    assert set(sizes) == {"l40s-48gb", "l4-24gb"} and sum(sizes.values()) == 4
    assert found.values["domains"] == {"host": {"mixed": [group["name"] for group in found.values["cluster"]]}}
    assert inventory_from_dict({**found.values, **QUESTION}).levels()[-1] == "host"
