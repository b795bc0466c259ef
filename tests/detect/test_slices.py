"""MIG slices are cards of their own, without links to each other: from ``nvidia-smi -L`` and from ``nvidia-smi -q -x``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from optimizer.cli.program import app_of
from optimizer.detect.hardware import parts_of
from optimizer.detect.inventory import Detected, detected
from optimizer.detect.listing import is_listing, parse_listing
from optimizer.detect.machine import SeenHost
from optimizer.detect.smi import parse_smi
from optimizer.facts.errors import ProblemError
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict

HALVES = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.40gb     Device  0: (UUID: MIG-7089d0f3-293f-58c9-8f8c-5ea666eedbde)
  MIG 3g.40gb     Device  1: (UUID: MIG-56c30729-347f-5dd6-8da0-c3cc59e969e0)
"""
MIXED = HALVES + """\
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a78)
  MIG 1g.10gb     Device  0: (UUID: MIG-9fb1d8a3-0d2f-5b4f-8dc8-3e0a4d0c7d11)
  MIG 1g.10gb     Device  1: (UUID: MIG-3c2a0c55-5e39-5b5e-8c02-6a3b0f2f4a22)
"""  # fmt: skip
DEVICE = """<mig_device><index>{index}</index><gpu_instance_id>{instance}</gpu_instance_id>
<device_attributes><shared><multiprocessor_count>{sms}</multiprocessor_count></shared></device_attributes>
<fb_memory_usage><total>{mib} MiB</total><used>{used} MiB</used></fb_memory_usage></mig_device>"""
QUESTION = {"model": "llama3.1-8b", "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 1}}


def _detected(text: str) -> Detected:
    gpus = parse_listing(text, "host") if is_listing(text) else parse_smi(text, "host")[0]
    return detected(parts_of([SeenHost("host", gpus, {})], busy_counts=True), None)


def test_two_halves_of_a_card_are_a_node_of_two() -> None:
    found = _detected(HALVES).values
    assert found["hardware"]["gpu"] == "h100-sxm-80gb-mig-3g.40gb" and found["hardware"]["gpus_per_node"] == 2
    hardware = problem_from_dict({**found, **QUESTION}).hardware
    assert (hardware.gpu.peer_links, hardware.nvlink_domain_gpus, hardware.nvlink_gb_per_s) == (False, 1, 0)


def test_slices_of_two_kinds_are_groups_of_one_host() -> None:
    found = _detected(MIXED).values
    assert [(group["gpu"], group["gpus_per_node"]) for group in found["cluster"]] == [
        ("h100-sxm-80gb-mig-3g.40gb", 2),
        ("h100-sxm-80gb-mig-1g.10gb", 2),
    ]
    assert len(inventory_from_dict({**found, **QUESTION}).groups) == 2


@pytest.mark.parametrize(
    ("name", "devices", "expected"),
    [
        ("h100-mesh", [(60, 40_448), (60, 40_448)], {"h100-sxm-80gb-mig-3g.40gb": 2}),
        ("h100-mesh", [(64, 40_448), (60, 40_448)], {"h100-sxm-80gb-mig-4g.40gb": 1, "h100-sxm-80gb-mig-3g.40gb": 1}),
        (
            "h100-mesh",
            [(16, 9_984), (32, 20_096), (16, 20_096)],
            {"h100-sxm-80gb-mig-1g.10gb": 1, "h100-sxm-80gb-mig-2g.20gb": 1, "h100-sxm-80gb-mig-1g.20gb": 1},
        ),
        (
            "a100-pairs",
            [(42, 40_192), (28, 19_968)],
            {"a100-pcie-80gb-mig-3g.40gb": 1, "a100-pcie-80gb-mig-2g.20gb": 1},
        ),
    ],
)
def test_memory_and_processors_tell_the_profile(
    name: str, devices: list[tuple[int, int]], expected: dict[str, int]
) -> None:
    text = (Path(__file__).parent / "outputs" / f"{name}.xml").read_text()
    inside = "".join(
        DEVICE.format(index=i, instance=i + 1, sms=sms, mib=mib, used=12) for i, (sms, mib) in enumerate(devices)
    )
    first, rest = text.split("</gpu>", 1)
    first = first.replace("<current_mig>Disabled", "<current_mig>Enabled")
    gpus, _ = parse_smi(f"{first}<mig_devices>{inside}</mig_devices></gpu>{rest}", "host.xml")
    parts = parts_of([SeenHost("host", gpus[:1], {})], busy_counts=True)
    assert {part.gpu: part.gpus for part in parts} == expected
    assert all(part.memory_mib == 0 and len(part.free) == part.gpus and part.nvlink_domain_gpus == 1 for part in parts)


def test_the_command_takes_a_listing(tmp_path: Path) -> None:
    (tmp_path / "node1.txt").write_text(HALVES)
    done = CliRunner().invoke(app_of(), ["detect", "--smi", str(tmp_path / "node1.txt")])
    assert done.exit_code == 0 and "gpu: h100-sxm-80gb-mig-3g.40gb" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("GPU 0: NVIDIA Unheard Of (UUID: GPU-1)\n", "give nvidia-smi -q -x"),
        ("GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\nwhat?\n", "is not the output of nvidia-smi -L"),
    ],
)
def test_listings_that_tell_too_little(text: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        parse_listing(text, "host")


def test_a_slice_that_no_profile_has_is_left_out() -> None:
    with pytest.raises(ProblemError, match="split into MIG instances"):
        _detected(HALVES.replace("3g.40gb", "1c.3g.40gb"))


BESIDE_A_WHOLE_CARD = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 1g.10gb+me  Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 2g.20gb     Device  1: (UUID: MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a78)
"""


def test_one_card_that_is_whole_needs_no_table_of_links(tmp_path: Path) -> None:
    file = tmp_path / "host.txt"
    file.write_text(BESIDE_A_WHOLE_CARD)
    done = CliRunner().invoke(app_of(), ["detect", "--smi", str(file), "--json"])
    assert done.exit_code == 0, done.output
    for name in ("h100-sxm-80gb-mig-1g.10gb", "h100-sxm-80gb-mig-2g.20gb", '"h100-sxm-80gb"'):
        assert name in done.output
