"""The supervisor with real processes: restarts that leave no worker, stops in every phase, and starts that cannot work."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from optimizer.deployment import programs
from tests.deploy.running import STAND_IN, free_ports, get, post, processes_of, until

SUPERVISE = Path(programs.__file__).parent / "supervise.py"
QUICK = ("--every", "0.3", "--misses", "3", "--pause", "0.2", "--settle", "0.3", "--grace", "4")


class Supervised:
    """A supervisor of a stand-in engine, in a folder of its own."""

    def __init__(self, folder: Path, *engine: str, flags: tuple[str, ...] = (), port: int = 0) -> None:
        self.folder = folder
        self.port = port or free_ports(1)[0]
        (folder / "notes").touch()
        words = [sys.executable, "-S", str(STAND_IN), str(self.port), "--notes", str(folder / "notes"), *engine]
        self.process = subprocess.Popen(
            [sys.executable, str(SUPERVISE), "--port", str(self.port), *QUICK, *flags, "engine", "--", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "said").open("ab"),
        )

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def serves(self) -> None:
        until(lambda: get(self.port, "/health")[0] == 200)

    def stop(self, number: int = signal.SIGTERM) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    running: list[Supervised] = []

    def begin(*engine: str, **more: Any) -> Supervised:
        running.append(Supervised(tmp_path, *engine, **more))
        return running[-1]

    yield begin
    for one in running:
        one.stop()
    assert processes_of(tmp_path) == []


def _workers(folder: Path) -> list[str]:
    return [words for words in processes_of(folder) if "worker-of-stand-in" in words]


def test_a_killed_server_takes_its_workers_along_and_comes_back(start: Any, tmp_path: Path) -> None:
    one = start("--workers", "2")
    one.serves()
    assert len(_workers(tmp_path)) == 2
    (server,) = [int(pid) for pid in _pids(tmp_path, "stand_in.py")]
    workers = set(_pids(tmp_path, "worker-of-stand-in"))
    os.kill(server, signal.SIGKILL)
    until(lambda: get(one.port, "/health")[0] == 200 and len(_workers(tmp_path)) == 2)
    assert not workers & set(_pids(tmp_path, "worker-of-stand-in"))
    assert "ended with signal 9 (SIGKILL)" in one.said()


def _pids(folder: Path, word: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").readlink() == folder
                if here and b"supervise.py" not in words[1] and any(one.endswith(word.encode()) for one in words):
                    found.append(entry.name)
    return found


def test_what_an_earlier_supervisor_left_is_ended_before_a_start(start: Any, tmp_path: Path) -> None:
    one = start("--workers", "2")
    one.serves()
    before = set(_pids(tmp_path, "worker-of-stand-in"))
    one.process.kill()
    one.process.wait()
    until(lambda: get(one.port, "/health")[0] == 0)  # told by the kernel that its parent ended
    assert set(_pids(tmp_path, "worker-of-stand-in")) == before
    two = start("--workers", "2", port=one.port)
    two.serves()
    assert not before & set(_pids(tmp_path, "worker-of-stand-in"))


def test_a_stop_during_start_up_leaves_nothing(start: Any, tmp_path: Path) -> None:
    one = start("--workers", "2", "--start", "60")
    until(lambda: len(_workers(tmp_path)) == 2)
    assert one.stop() == 143
    assert processes_of(tmp_path) == []


def test_a_stop_lets_streams_end_and_a_second_one_cuts_them(start: Any, tmp_path: Path) -> None:
    import threading
    import time

    one = start("--workers", "1")
    one.serves()
    until(lambda: "serves" in one.said())
    found: list[tuple[int, str]] = []
    stream = threading.Thread(target=lambda: found.append(post(one.port, "stream 15")))
    stream.start()
    until(lambda: "stream" in (tmp_path / "notes").read_text())
    assert one.stop(signal.SIGINT) == 130
    stream.join()
    assert "DONE" in found[0][1]
    two = start("--step", "3")
    two.serves()
    until(lambda: two.said().count("serves") == 2)
    stream = threading.Thread(target=lambda: found.append(post(two.port, "stream 30")))
    stream.start()
    until(lambda: (tmp_path / "notes").read_text().count("stream") == 2)
    two.process.send_signal(signal.SIGTERM)
    time.sleep(1.2)
    assert two.process.poll() is None
    assert two.stop() == 143
    stream.join()
    assert "DONE" not in found[1][1]


def test_a_server_that_hangs_is_started_again(start: Any, tmp_path: Path) -> None:
    one = start()
    one.serves()
    until(lambda: "serves" in one.said())
    with contextlib.suppress(Exception):
        post(one.port, "hang", 1)
    until(lambda: "did not answer /health 3 times in a row" in one.said(), 30)
    until(lambda: get(one.port, "/health")[0] == 200)


def test_a_start_that_cannot_work_is_given_up_with_its_cause(start: Any, tmp_path: Path) -> None:
    one = start("--fail", "OSError: /models/none is not a local folder and is not a valid model identifier")
    assert one.process.wait(timeout=30) == 78
    said = one.said().splitlines()
    assert all("OSError: /models/none is not a local folder" in line for line in said)
    assert "It failed 3 times in this way and is not started again" in said[-1]
    assert len(said) == 3


def test_an_engine_that_served_is_never_given_up(start: Any, tmp_path: Path) -> None:
    one = start()
    for times in range(1, 5):
        until(lambda times=times: one.said().count("serves") == times)
        post(one.port, "crash")
    until(lambda: one.said().count("serves") == 5)


def test_a_port_in_use_is_said(start: Any, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        one = start(port=taken.getsockname()[1])
        assert one.process.wait(timeout=30) == 78
    assert f"port {one.port} cannot be taken: Address already in use" in one.said()


def test_a_second_start_in_the_same_folder_is_refused(start: Any, tmp_path: Path) -> None:
    one = start()
    one.serves()
    two = start()
    assert two.process.wait(timeout=30) == 1
    assert "engine is running already from this folder" in two.said()
    assert get(one.port, "/health")[0] == 200


def test_a_start_that_takes_too_long_is_ended(start: Any, tmp_path: Path) -> None:
    one = start("--start", "60", flags=("--ready-within", "0.5"))
    until(lambda: "did not serve within 0.5 s" in one.said())


def test_a_part_on_several_nodes_is_patient(start: Any, tmp_path: Path) -> None:
    one = start("--fail", "ConnectionError: node-0 cannot be reached", flags=("--patient",))
    until(lambda: one.said().count("cannot be reached") >= 5)
    assert "It starts again in 0.4 s" in one.said()


def test_logs_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.deployment.programs import process_log

    monkeypatch.setattr(process_log, "LOG_BYTES", 10)
    log = process_log.Log(tmp_path / "engine.log")
    for number in range(6):
        with log.path.open("a") as stream:
            stream.write(f"this is text {number}")
        assert log.rotate() is None
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {
        "engine.log": "",
        **{f"engine.log.{age}": f"this is text {6 - age}" for age in (1, 2, 3)},
    }


def test_versions_are_compared_without_the_build(tmp_path: Path) -> None:
    for have, wanted, said in (
        ("0.32.0", "0.32.0", None),
        ("0.32.0+cu129", "0.32.0", None),
        ("0.32.0.post1", "0.32.0", None),
        ("0.32.1", "0.32.0", "these commands are for made-up-engine 0.32.0, but made-up-engine 0.32.1 is installed"),
        ("0.32.0rc1", "0.32.0", "but made-up-engine 0.32.0rc1 is installed"),
        (None, "0.32.0", "made-up-engine is not installed for "),
    ):
        folder = tmp_path / str(have)
        if have:
            (folder / f"made_up_engine-{have}.dist-info").mkdir(parents=True)
            about = f"Metadata-Version: 2.1\nName: made-up-engine\nVersion: {have}\n"
            (folder / f"made_up_engine-{have}.dist-info" / "METADATA").write_text(about)
        found = subprocess.run(
            [sys.executable, str(SUPERVISE), "--check", "made-up-engine", wanted],
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
        )
        assert found.returncode == (1 if said else 0), found.stderr
        assert (said or "") in found.stderr and "Traceback" not in found.stderr
