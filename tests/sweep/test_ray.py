"""The same points and the same bytes from a real local Ray cluster, one of whose workers is killed while it works."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import optimizer
from optimizer import sweep
from optimizer.facts.errors import ProblemError
from optimizer.sweeps import on_ray
from tests.sweep.problems import scenarios, written

try:
    import ray
except ImportError:
    ray = None
needs_ray = pytest.mark.skipif(ray is None, reason="needs Ray: python3 -m pip install '.[ray]'")


def busy_workers(root: int) -> list[int]:
    """Processes below ``root`` that solve a piece for its Ray cluster."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _title(entry).startswith("ray::_solve") and _is_below(int(entry.name), root):
            found.append(int(entry.name))
    return found


def _title(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _is_below(pid: int, root: int) -> bool:
    while pid > 1:
        if pid == root:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


@needs_ray
@pytest.mark.long
def test_same_bytes_with_a_worker_killed(tmp_path: Path) -> None:
    # A copy: the rows' hashes have the product's code in them, which may be edited while this runs.
    library = tmp_path / "library"
    shutil.copytree(
        Path(optimizer.__file__).parent, library / "optimizer", ignore=shutil.ignore_patterns("__pycache__")
    )
    asked = scenarios(tmp_path, {"cross": {"workload.output_tokens": [10, 20, 30, 40, 50, 60]}})
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    command = [sys.executable, "-c", "from optimizer.cli import main; main()", "sweep", written(tmp_path)]
    command += ["--gpus", "1..16", "--scenarios", asked]
    environment = {**os.environ, "PYTHONPATH": str(library)}
    subprocess.run([*command, "--workers", "1", "--out", str(here)], env=environment, check=True, capture_output=True)
    process = subprocess.Popen(
        [*command, "--workers", "3", "--executor", "ray", "--out", str(there)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    killed: list[int] = []
    until = time.monotonic() + 120
    while process.poll() is None and not killed and time.monotonic() < until:
        for pid in busy_workers(process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        time.sleep(0.01)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert killed, "no worker was caught at work"
    assert there.read_bytes() == here.read_bytes()
    assert '"status":"error"' not in there.read_text()


@needs_ray
def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="no Ray cluster answers"):
        list(sweep(written(tmp_path), "1..2", executor="ray", address="127.0.0.1:1"))


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ProblemError, match=r"pip install.*\[ray\]"):
        list(sweep(written(tmp_path), "1..2", executor="ray"))


def test_a_cluster_with_another_optimizer_is_refused(tmp_path: Path) -> None:
    from optimizer.sweeps.run import plan
    from optimizer.sweeps.work import pieces

    asked = plan(written(tmp_path), "1..3")
    (piece,) = pieces(asked.stated, asked.specs, {})
    points = on_ray._solve(piece, "0.0.1+other")
    assert len(points) == 3 and all("install the same on every node" in (point.error or "") for point in points)
