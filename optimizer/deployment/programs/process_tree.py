"""Processes of this machine, by /proc: which are below this one, which an earlier start left, and which have ended.

Goes beside ``supervise.py``; Linux and the standard library of Python 3.9 and later only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from pathlib import Path

SUBREAPER, PARENT_DEATH_SIGNAL = 36, 1  # prctl(2)
MARK = "OPTIMIZER_PROCESS"
"""Environment variable that every process of a supervisor has, with a value of its own."""


def prctl(option: int, value: int) -> None:
    """Best effort: without it, the process group and the mark in the environment still find what is left."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


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


def boot() -> str:
    """Changes with every boot, so that old process numbers mean nothing after one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def below() -> list[int]:
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


def remember(state: Path, session: int) -> None:
    """Write down the session of what was started, for a supervisor that comes after this one was killed."""
    started = table().get(session, (0, 0, 0, 0, b""))[3]
    state.write_text(json.dumps({"session": session, "started": started, "boot": boot()}))


def left_from_before(state: Path, mark: str) -> list[int]:
    """Processes of an earlier start whose supervisor was killed: of the session that it wrote down, or with its mark."""
    try:
        before = json.loads(state.read_text())
    except (OSError, ValueError):
        before = {}
    processes = table()
    session = before.get("session", -1) if before.get("boot") == boot() else -1
    if session in processes and processes[session][3] != before.get("started"):
        session = -1  # the number belongs to another process by now
    found = []
    for pid, (_, group, own, _, state_letter) in processes.items():
        if pid != os.getpid() and state_letter != b"Z" and (session in (group, own) or _marked(pid, mark)):
            found.append(pid)
    return found


def _marked(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def reap(child: int | None) -> None:
    """Take in orphans that have ended; the child itself is left to ``subprocess``."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == child:
            return
        os.waitpid(ended.si_pid, 0)
