"""The live line, plain output where there is no terminal, NO_COLOR, and shell completion."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from optimizer.render.progress import LiveLine
from optimizer.search.uniform.solve import Progress

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = str(ROOT / "problems" / "llama3-70b-8xh100.yaml")
PROGRAM = [sys.executable, "-c", "from optimizer.cli import main; main()"]


def _in_terminal(*arguments: str, **environment: str) -> str:
    """What a terminal shows, control characters included; patience is cut short so that the live line comes at once."""
    start = "import optimizer.render.progress as p; p.PATIENCE_S = 0.0; from optimizer.cli import main; main()"
    leader, follower = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", start, *arguments],
        stdout=follower,
        stderr=follower,
        env={k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        | {"TERM": "xterm", "COLUMNS": "100"}
        | environment,
        cwd=ROOT,
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    assert running.wait(timeout=60) == 0
    os.close(leader)
    return seen.decode()


def test_the_live_line_comes_and_goes() -> None:
    seen = _in_terminal("solve", PROBLEM, TERM="xterm")
    lines = re.findall(r"\r\x1b\[K([^\r\x1b]+)", seen)
    assert any(re.match(r"[a-z ]+: \d+ s", line) for line in lines), seen[:400]
    assert seen.count("proved best") >= 1
    assert seen.index("\r\x1b[K") < seen.index("proved best")


def test_colours_only_where_they_are_wanted() -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]")
    assert not coloured.search(_in_terminal("solve", PROBLEM, "--no-simulate", NO_COLOR="1"))
    assert "\x1b[K" not in _in_terminal("solve", PROBLEM, "--no-simulate", TERM="dumb")


def test_no_terminal_no_control_characters() -> None:
    found = subprocess.run([*PROGRAM, "solve", PROBLEM, "--no-simulate"], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0
    assert "\x1b" not in found.stdout + found.stderr and "\r" not in found.stdout
    assert found.stderr == ""


def test_the_line_says_what_is_known() -> None:
    line = LiveLine()
    line(Progress(0.1, phase="building tables"))
    assert line.line() == "building tables: 0 s  no incumbent yet  (Ctrl-C stops)"
    line(Progress(0.2, 6_000_000_000.0, 5_700_000_000.0))
    assert (
        line.line() == "searching: 0 s  incumbent 6,000 ms  bound 5,700 ms  gap 5.00%  (Ctrl-C returns the incumbent)"
    )
    line(Progress(0.3, phase="verifying"))
    assert line.line().startswith("verifying: 0 s  incumbent 6,000 ms")
    line(Progress(0.4, 850.0, 1000.0, "tokens/s"))
    assert "incumbent 850.0 tokens/s  bound 1,000.0 tokens/s  gap 17.65%" in line.line()


def test_nothing_is_shown_within_two_seconds() -> None:
    from optimizer.render import progress

    assert progress.PATIENCE_S == 2.0
    started = time.monotonic()
    with LiveLine() as live:
        live(Progress(0.0))
    assert not live._shown and time.monotonic() - started < 60


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    found = subprocess.run([*PROGRAM, "--show-completion", shell], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0 and "_OPTIMIZER_COMPLETE" in found.stdout
    marks = {"bash": "complete -o default -F", "zsh": "#compdef optimizer", "fish": "complete --command optimizer"}
    assert marks[shell] in found.stdout


def test_completion_completes(tmp_path: Path) -> None:
    script = subprocess.run([*PROGRAM, "--show-completion", "bash"], capture_output=True, text=True, cwd=ROOT).stdout
    (tmp_path / "script").write_text(script)
    (tmp_path / "optimizer").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from optimizer.cli import main; main()' \"$@\"\n"
    )
    (tmp_path / "optimizer").chmod(0o755)
    ask = (
        f"export PATH={tmp_path}:$PATH; source {tmp_path}/script; "
        'COMP_WORDS=(optimizer dep); COMP_CWORD=1; _optimizer_completion optimizer; echo "${COMPREPLY[@]}"; '
        'COMP_WORDS=(optimizer deploy --chec); COMP_CWORD=2; _optimizer_completion optimizer; echo "${COMPREPLY[@]}"'
    )
    found = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, cwd=ROOT)
    assert found.stdout.split() == ["deploy", "--checkpoint-format"], found


def test_an_unknown_shell_is_named() -> None:
    found = subprocess.run([*PROGRAM, "--show-completion", "bsh"], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 2
    assert found.stderr == "error: --show-completion: 'bsh' is not a known shell; did you mean bash or zsh or pwsh?\n"
