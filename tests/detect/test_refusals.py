"""Outputs that cannot be trusted, states that make a GPU unusable, and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from optimizer.detect.smi import parse_smi
from optimizer.detect.topo import parse_topo
from optimizer.facts.errors import ProblemError
from tests.command import run
from tests.detect.test_outputs import OUTPUTS

MESH = (OUTPUTS / "h100-mesh.xml").read_text()
MATRIX = (OUTPUTS / "h100-mesh.topo.txt").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no XML"),
        ("nvidia-smi: command not found", "holds no XML"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "NVIDIA-SMI has failed"),
        ("Unable to determine the device handle for GPU0000:65:00.0: Unknown Error", "0000:65:00.0 cannot be reached"),
        (MESH[: len(MESH) // 2], "breaks off"),
        (MESH.replace("</gpu>", "", 1), "mismatched tag"),
        ("<?xml version='1.0'?><html></html>", "breaks off"),
        ("<?xml version='1.0'?><a></nvidia_smi_log>", "mismatched tag"),
        (MESH.replace("<attached_gpus>8", "<attached_gpus>4000"), "at most 64"),
        (MESH.replace("<used>1 MiB", "<used>99999999 MiB", 1), "cannot be"),
        ("<nvidia_smi_log><attached_gpus>0</attached_gpus></nvidia_smi_log>", "describes no GPU"),
        ('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><nvidia_smi_log>&a;</nvidia_smi_log>', "entities"),
        ('<?xml version="1.0"?><!DOCTYPE x SYSTEM "x" [ ]><nvidia_smi_log></nvidia_smi_log>', "entities"),
        ("<nvidia_smi_log>" + "<gpu/>" * 100 + "</nvidia_smi_log>", "100 GPUs"),
        ("<nvidia_smi_log>\x00</nvidia_smi_log>", "not the output"),
    ],
)
def test_malformed_xml_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        parse_smi(text, "host.xml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<gpu_temp>29 C", "<gpu_temp>ERR!", "gpu_temp reads 'ERR!'"),
        ("<performance_state>P0", "<performance_state>[GPU requires reset]", "requires reset"),
        ("<used>1 MiB", "<used>N/A", "its memory cannot be read"),
        ("<total>81559 MiB", "<total>[N/A]", "its memory cannot be read"),
        ("<remapped_row_pending>No", "<remapped_row_pending>Yes", "waits for remapping"),
        ("<reset_required>No", "<reset_required>Yes", "asks for a reset"),
        ("<sram_threshold_exceeded>No", "<sram_threshold_exceeded>Yes", "more on-chip memory errors"),
        ("<sram_uncorrectable_parity>0", "<sram_uncorrectable_parity>2", "2 uncorrectable memory errors"),
        ("<state>N/A", "<state>In Progress", "NVLink fabric is not up"),
        ("<reset_required>", "<gpu_recovery_action>Reboot</gpu_recovery_action><reset_required>", ""),
    ],
)
def test_states_that_make_a_gpu_unusable(old: str, new: str, said: str) -> None:
    assert old in MESH
    gpus, lost = parse_smi(MESH.replace(old, new, 1), "host.xml")
    assert not lost and all(not gpu.faults and not gpu.busy for gpu in gpus[1:])
    assert said in " ".join(gpus[0].faults)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<dram_correctable>2", "<dram_correctable>9000"),
        ("<current_ecc>Enabled", "<current_ecc>Disabled"),
        ("<gpu_util>0 %", "<gpu_util>N/A"),
        ("<fan_speed>N/A", "<fan_speed>[N/A]"),
        ("<aggregate>", "<aggregate><dram_uncorrectable>7</dram_uncorrectable>"),
        ("<state>N/A", "<state>Completed"),
        ("<used>1 MiB", "<used>512 MiB"),
    ],
)
def test_states_that_do_not(old: str, new: str) -> None:
    """Corrected errors, errors of the past, and fields that a GPU does not have."""
    assert old in MESH
    gpus, _ = parse_smi(MESH.replace(old, new, 1), "host.xml")
    assert not gpus[0].faults and not gpus[0].busy


def test_graphics_processes_and_mig() -> None:
    process = "<process_info><pid>1</pid><type>{}</type><used_memory>4 MiB</used_memory></process_info>"
    for kind, busy in (("G", False), ("C", True), ("C+G", True)):
        gpus, _ = parse_smi(MESH.replace("<processes>", "<processes>" + process.format(kind), 1), "host.xml")
        assert bool(gpus[0].busy) is busy
    gpus, _ = parse_smi(MESH.replace("<current_mig>Disabled", "<current_mig>Enabled", 1), "host.xml")
    assert gpus[0].busy == ("split into MIG instances",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no row of GPU names"),
        ("\n".join(line for line in MATRIX.splitlines() if not line.startswith("GPU3")), "no row for GPU3"),
        (MATRIX.replace("GPU0\t X \tNV18", "GPU0\t X \tNV6"), "contradicts itself"),
        (MATRIX.replace("GPU0\t X \tNV18", "GPU0\t X \tWAT"), "is no link"),
        (MATRIX.replace("GPU0\t X \tNV18", "GPU0\tNV18\tNV18"), "is no link"),
        (MATRIX.replace("GPU1\tNV18\t X ", "GPU1"), "is no link"),
        ((OUTPUTS / "l40s-numa.topo.txt").read_text(), "4 GPUs"),
    ],
)
def test_malformed_matrices_are_refused(text: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        parse_topo(text, "topo.txt", 8)


def files(*names: str) -> list[str]:
    paths = [("--smi", f"{name}.xml", "--topo", f"{name}.topo.txt") for name in names]
    return [str(OUTPUTS / part) if "." in part else part for four in paths for part in four]


def test_the_command_writes_a_part_of_a_problem_file(tmp_path: Path) -> None:
    out = tmp_path / "hardware.yaml"
    assert run("detect", *files("h100-mesh"), "--out", str(out)).returncode == 0
    assert yaml.safe_load(out.read_text())["hardware"]["gpus_per_node"] == 8
    again = run("detect", *files("h100-mesh"), "--out", str(out))
    assert again.returncode == 2 and "exists already" in again.stderr
    shown = run("detect", *files("h100-mesh", "l40s-numa"), "--json")
    assert len(json.loads(shown.stdout)["problem"]["cluster"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--smi", "/no/such/file.xml"], "no such file"),
        (["--smi", str(OUTPUTS)], "is a directory"),
        (["--smi", str(OUTPUTS / "h100-mesh.xml")], "--topo: is missing"),
        (["--topo", str(OUTPUTS / "h100-mesh.topo.txt")], "give one for each"),
        ([*files("h100-mesh"), "--internode-gbit-per-s", "-1"], "not allowed"),
        ([*files("h100-mesh"), *files("h100-mesh")], "name each after its host"),
        (["--smi", str(OUTPUTS / "h100-mesh.topo.txt"), "--topo", str(OUTPUTS / "h100-mesh.xml")], "holds no XML"),
    ],
)
def test_bad_input_of_the_command(arguments: list[str], said: str) -> None:
    result = run("detect", *arguments)
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr


def test_unknown_gpus_keep_their_topology_as_an_entry_to_complete(tmp_path: Path) -> None:
    strange = tmp_path / "strange.xml"
    strange.write_text(MESH.replace("NVIDIA H100 80GB HBM3", "NVIDIA H100 Imaginary"))
    result = run("detect", "--smi", str(strange), "--topo", str(OUTPUTS / "h100-mesh.topo.txt"))
    assert result.returncode == 0
    assert "memory_bandwidth_gb_per_s: null  # to complete; h100-" in result.stdout
    stated = yaml.safe_load(result.stdout)["hardware"]
    assert (stated["gpus_per_node"], stated["nvlink_domain_gpus"], stated["nvlink_gb_per_s"]) == (8, 8, 900)
    assert stated["gpu"]["memory_mib"] == 81559 and stated["gpu"]["dense_tflops"]["bf16"] is None
    # The entry is not a question yet: what is missing is named.
    file = tmp_path / "problem.yaml"
    file.write_text(
        result.stdout + "model: llama3-8b\nworkload: {prompt_tokens: 10, output_tokens: 10, requests_per_s: 1}\n"
    )
    incomplete = run("solve", str(file))
    assert incomplete.returncode == 2 and "hardware.gpu." in incomplete.stderr


def test_hosts_without_a_free_gpu(tmp_path: Path) -> None:
    topo = str(OUTPUTS / "h100-mesh.topo.txt")
    full = tmp_path / "full.xml"
    full.write_text(MESH.replace("<used>1 MiB", "<used>70000 MiB"))
    result = run("detect", "--smi", str(full), "--topo", topo)
    assert result.returncode == 2 and "no GPU is free" in result.stderr
    assert run("detect", "--smi", str(full), "--topo", topo, "--ignore-busy").returncode == 0
