"""Real processes for tests: free ports, stand-in engines, the router in front of them; and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from optimizer.deployment.programs import program
from optimizer.deployment.router import ToServer, router_conf, start_router

STAND_IN = Path(__file__).parent / "stand_in.py"
needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()),
    reason="nginx is not installed (the package nginx-light of the distribution is enough)",
)
PATH = f"{os.environ['PATH']}:/usr/sbin"


def heed_interrupts() -> None:
    """Tests that run in the background are started with SIGINT ignored, which a shell below them could not trap."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait for something; what it gave, or a failed test."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = true()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not true after {seconds} s")


def post(port: int, prompt: str, timeout: float = 20) -> tuple[int, str]:
    """(status, body) of a completion; status 0 where the connection broke."""
    data = json.dumps({"prompt": prompt}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", data)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def processes_of(folder: Path) -> list[str]:
    """Command lines of live processes that stand in a folder or name it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and (str(folder) in words or (entry / "cwd").readlink() == folder):
                    found.append(words)
    return found


class Engines:
    """Stand-in engines by number, each of which can be killed and started again."""

    def __init__(self, folder: Path, count: int) -> None:
        self.notes = folder / "notes"
        self.notes.touch()
        self.ports = free_ports(count)
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(count):
            self.start(number)
        for number in range(count):
            until(lambda number=number: get(self.ports[number], "/health")[0] == 200)

    def start(self, number: int) -> None:
        words = [sys.executable, "-S", str(STAND_IN), str(self.ports[number]), "--notes", str(self.notes)]
        self.running[number] = subprocess.Popen(words)

    def kill(self, number: int) -> None:
        self.running[number].kill()
        self.running[number].wait()

    def revived(self, number: int) -> bool:
        """Whether an engine answers; started again where it does not live."""
        code, _ = get(self.ports[number], "/health")
        if code != 200 and (code == 503 or self.running[number].poll() is not None):
            self.kill(number)
            self.start(number)
        return code == 200

    def alive(self) -> list[int]:
        return [number for number, process in self.running.items() if process.poll() is None]

    def stop(self) -> None:
        for number in self.running:
            self.kill(number)


class Router:
    """The router as launch files start it, with a quick eye."""

    def __init__(
        self,
        folder: Path,
        servers: Sequence[ToServer],
        *,
        stderr: Any = None,
        every: bool = False,
        dealt: Sequence[tuple[str, Fraction]] = (),
    ) -> None:
        (self.port,) = free_ports(1)
        folder.mkdir(exist_ok=True)
        (folder / "router.conf").write_text(router_conf(self.port, len(servers), parts=bool(dealt)))
        (folder / "route.sh").write_text(program("route.sh"))
        lines = start_router(servers, drain_s=20, every_address=every, dealt=dealt)
        (folder / "start-router.sh").write_text("\n".join(["set -uo pipefail", "period_s=0.2 answer_s=1", *lines, ""]))
        self.log = folder / "said"
        self.process = subprocess.Popen(
            ["bash", "start-router.sh"],
            cwd=folder,
            env={**os.environ, "PATH": PATH, "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("wb") if stderr is None else stderr,
            preexec_fn=heed_interrupts,
        )
        until(lambda: get(self.port, "/router/health")[0])

    def sees(self, up: int) -> None:
        """Wait until so many engines are up, by the word of every worker of nginx after its reload."""
        until(lambda: all(get(self.port, "/router/health")[1].startswith(f"{up} of ") for _ in range(12)), 40)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def service(folder: Path, count: int) -> Iterator[tuple[Engines, Router]]:
    """Engines with a router in front."""
    engines = Engines(folder, count)
    router = Router(folder / "router", [(f"localhost:{port}", 1) for port in engines.ports])
    try:
        yield engines, router
    finally:
        router.stop()
        engines.stop()
