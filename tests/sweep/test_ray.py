"""The same points and the same bytes from a real local Ray cluster, one of whose workers is killed while it works."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from optimizer import sweep
from optimizer.facts.errors import ProblemError
from optimizer.sweeps import on_ray
from tests.sweep.problems import scenarios, written

try:
    import ray
except ImportError:
    ray = None
needs_ray = pytest.mark.skipif(ray is None, reason="needs Ray: python3 -m pip install '.[ray]'")


def busy_workers() -> list[int]:
    """Processes that solve a piece for a Ray cluster started by this process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _title(entry).startswith("ray::_solve") and _is_ours(int(entry.name)):
            found.append(int(entry.name))
    return found


def _title(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _is_ours(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


@needs_ray
def test_same_bytes_with_a_worker_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    asked = scenarios(tmp_path, {"cross": {"workload.output_tokens": [10, 20, 30, 40, 50, 60]}})
    problem, here, there = written(tmp_path), tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    list(sweep(problem, "1..16", asked, workers=1, out=here))
    killed: list[int] = []

    def kill_one() -> None:
        until = time.monotonic() + 120
        while not killed and time.monotonic() < until:
            for pid in busy_workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    points = list(sweep(problem, "1..16", asked, workers=3, executor="ray", out=there))
    killer.join()
    assert killed, "no worker was caught at work"
    assert not [point.error for point in points if point.error]
    assert there.read_bytes() == here.read_bytes()


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
    (piece,) = pieces(asked.stated, asked.specs, {}, 1)
    points = on_ray._solve(piece, "0.0.1+other")
    assert len(points) == 3 and all("install the same on every node" in (point.error or "") for point in points)
