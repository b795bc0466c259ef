"""Closed pipes, full disks, closed streams, ASCII terminals and SIGTERM: no code but the answer's own, or 2 with a message."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.writing.files import write_file
from optimizer.writing.yaml_text import yaml_text
from tests.conftest import ROOT

EXAMPLE = str(ROOT / "problems" / "llama3-70b-8xh100.yaml")
INFEASIBLE = ["check", EXAMPLE, "--tp", "1", "--pp", "1", "--dp", "1"]
COMMAND = f'"{sys.executable}" -c "from optimizer.cli import main; main()"'


def _bash(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=120, cwd=ROOT, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"solve {EXAMPLE}", 0),
        (" ".join(INFEASIBLE), 1),
        ("solve /no/such/file", 2),
        pytest.param(f"graph {EXAMPLE} --tp 4 --pp 1 --dp 2", 0, marks=pytest.mark.long),
    ],
)
def test_a_reader_that_stops_changes_no_code(words: str, code: int) -> None:
    done = _bash(f"{COMMAND} {words} 2>/dev/null | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == code
    assert _bash(f"{COMMAND} {words} 2>&1 >/dev/null | true; exit ${{PIPESTATUS[0]}}").returncode == code


@pytest.mark.parametrize(
    "words", [f"solve {EXAMPLE}", f"solve {EXAMPLE} --json", " ".join(INFEASIBLE), "--help", f"graph {EXAMPLE}"]
)
@pytest.mark.parametrize("where", [">/dev/full", pytest.param(">&-", marks=pytest.mark.long)])
def test_output_that_cannot_be_written_is_said(words: str, where: str) -> None:
    done = _bash(f"{COMMAND} {words} {where}")
    assert done.returncode == 2
    assert "error: standard output: cannot be written" in done.stderr and "Traceback" not in done.stderr


LINE = "--prompt 1000 --output 200 --rate 2"
OTHERS = (
    f"fit --gpu h100-sxm-80gb --gpus 2 {LINE} --models llama3.1-8b",
    f"compare --types h100-sxm-80gb,l4-24gb --gpus 1..2 --model llama3.1-8b {LINE}",
    f"bench-plan {EXAMPLE} --runs 5",
    "model --known",
    f"recommend {EXAMPLE} --gpus 1..8",
    f"deploy {EXAMPLE}",
    f"how-sure {EXAMPLE}",
)


@pytest.mark.long
@pytest.mark.parametrize("words", OTHERS)
def test_streams_of_every_other_command(words: str) -> None:
    """A full disk and a closed stream are 2; a reader that stops, a full or closed standard error and ASCII change nothing."""
    for where in (">/dev/full", ">&-"):
        assert _bash(f"{COMMAND} {words} {where}").returncode == 2
    for rest in ("2>/dev/null | true", "2>&1 | head -c 1 >/dev/null"):
        assert _bash(f"{COMMAND} {words} {rest}; exit ${{PIPESTATUS[0]}}").returncode == 0
    for where in ("2>&-", "2>/dev/full"):
        assert _bash(f"{COMMAND} {words} {where}").returncode == 0
    plain = _bash(f"{COMMAND} {words}", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert plain.returncode == 0 and "Traceback" not in plain.stderr and plain.stdout.isascii()


def test_a_closed_standard_error_is_no_matter() -> None:
    assert _bash(f"{COMMAND} solve {EXAMPLE} 2>&-").returncode == 0
    assert _bash(f"{COMMAND} solve {EXAMPLE} 2>/dev/full").returncode == 0
    assert _bash(f"{COMMAND} solve /no/such/file 2>&-").returncode == 2


def test_files_do_not_take_the_place_of_closed_streams(tmp_path: Path) -> None:
    out = tmp_path / "graph.json"
    assert _bash(f"{COMMAND} graph {EXAMPLE} --out {out} >&- 2>&-").returncode in (0, 2)
    json.loads(out.read_text())


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.long),
    ],
)
def test_an_ascii_terminal(environment: dict[str, str], tmp_path: Path) -> None:
    problem = tmp_path / "ünlich.yaml"
    problem.write_text(
        Path(EXAMPLE).read_text().replace("name: llama3-70b-8xh100", "name: größe 模型"), encoding="utf-8"
    )
    plain = _bash(f"{COMMAND} solve '{problem}'", **environment)
    assert (plain.returncode, plain.stderr) == (0, "")
    assert (
        plain.stdout.isascii() and plain.stdout.startswith("groe?e ??: TP4.PP1.DP2 - proved best")
    ) or "gr" in plain.stdout
    told = _bash(f"{COMMAND} solve '{problem}' --json", **environment)
    assert told.stdout.isascii() and json.loads(told.stdout)["problem"] == "größe 模型"
    for words in (
        "check --tp 1 --pp 1 --dp 1",
        "catalog gpus",
        "graph --format graphml",
        "deploy",
    ):
        name, *more = words.split()
        on = "" if name == "catalog" else f"'{problem}'"
        done = _bash(f"{COMMAND} {name} {' '.join(more) if not on else on + ' ' + ' '.join(more)}", **environment)
        assert done.returncode in (0, 1) and "defect" not in done.stderr, (words, done.stderr)


@pytest.mark.parametrize(
    "option", ["graph {0} --out {1}", "report {0} --out {1}", "solve {0} --apply-repair 1 --out {1}"]
)
def test_a_full_disk_is_bad_input_and_leaves_nothing_behind(option: str, tmp_path: Path) -> None:
    words = option.format(EXAMPLE, "/dev/full")
    done = _bash(f"{COMMAND} {words}")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert Path("/dev/full").is_char_device()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("before")
    target.chmod(0o640)

    def pieces() -> Any:
        yield "half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(target, pieces(), "--out")
    assert [one.name for one in tmp_path.iterdir()] == ["a"] and target.read_text() == "before"
    write_file(target, ["after"], "--out")
    assert target.read_text() == "after" and target.stat().st_mode & 0o777 == 0o640
    link = tmp_path / "link"
    link.symlink_to(target)
    write_file(link, b"again", "--out")
    assert link.is_symlink() and target.read_text() == "again"
    for bad in (tmp_path, tmp_path / "no" / "x", tmp_path / ("n" * 300), "a\0b"):
        with pytest.raises(ProblemError, match="--out"):
            write_file(bad, ["x"], "--out")
    with pytest.raises(ProblemError, match="No space"):
        write_file("/dev/full", ["x" * 100_000], "--out")


INVENTORY: dict[str, Any] = {
    "name": "long",
    "cluster": [
        {"name": name, "gpu": gpu, "nodes": 6, "racks": 3, "zone": zone}
        for name, gpu, zone in (("a", "h100-sxm-80gb", "x"), ("b", "a100-sxm-80gb", "y"), ("c", "h200-sxm-141gb", "x"))
    ],
    "model": "llama3-70b",
    "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 60},
    "requirements": {
        "ttft_p99_ms": 1500,
        "tpot_p99_ms": 100,
        "max_sequence_tokens": 8192,
        "survive": {"node": 1, "rack": 1},
    },
}


def _struck(problem: Path, number: signal.Signals, after: float) -> None:
    """One run that is told to stop: its answer is whole and honest, or it says that there was none yet."""
    # A process started in the background of a shell ignores SIGINT, and so do its children: they are told not to.
    start = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from optimizer.cli import main; "
        "signal.signal(signal.SIGTERM, signal.default_int_handler); print('ready', file=sys.stderr, flush=True); main()"
    )
    words = [sys.executable, "-c", start, "solve", str(problem), "--json"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert running.stderr is not None and running.stderr.readline() == "ready\n"
    time.sleep(after)
    running.send_signal(number)
    said, errors = running.communicate(timeout=120)
    assert "Traceback" not in errors and "defect" not in errors, errors
    assert running.returncode >= 0, "the signal was taken, so it did not kill"
    if not said:
        assert running.returncode == 3 and errors == "interrupted before an answer was found\n"
        return
    answer = json.loads(said)
    assert (
        running.returncode == {"optimal": 0, "feasible": 0, "unknown": 3, "infeasible": 1}[answer["status"]]
        or "not rely on it" in errors
    )
    if answer["pools"]:
        objective = answer["objective"]
        assert objective["bound"] <= objective["value"] + 1e-6
        assert answer["status"] == "feasible" or objective["bound"] == pytest.approx(objective["value"], rel=1e-6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_is_taken_like_ctrl_c(number: signal.Signals, tmp_path: Path) -> None:
    problem = tmp_path / "p.yaml"
    problem.write_text(yaml_text(INVENTORY))
    for after in (1.5, 4.0):
        _struck(problem, number, after)


def test_a_solve_in_the_main_thread_leaves_ctrl_c_as_it_was() -> None:
    """CP-SAT's own handler would leave the process without one, as it did after the placing on concrete GPUs."""
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from optimizer.search.common.solver import cp_model, new_solver\n"
        "model = cp_model.CpModel(); new_solver().solve(model)\n"
        "try: signal.raise_signal(signal.SIGINT); print('lost')\n"
        "except KeyboardInterrupt: print('taken')\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "taken\n"), ran.stderr


def test_a_signal_at_the_very_end_changes_no_code(tmp_path: Path) -> None:
    """While the answer is written, and while the interpreter ends and puts back what the signals do by themselves."""
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import optimizer.cli.solve as command; from optimizer.cli import main; show = command._show\n"
        "class Late:\n"
        "    def __del__(self, strike=signal.raise_signal, number=signal.SIGINT): strike(number)\n"
        "def struck(*given):\n"
        "    signal.raise_signal(number)\n"
        "    show(*given)\n"
        "number = int(sys.argv.pop()); command._show = struck; late = Late(); main()"
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        words = [sys.executable, "-c", program, "solve", EXAMPLE, "--json", str(int(number))]
        ran = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert json.loads(ran.stdout)["status"] == "optimal"


def test_ctrl_c_while_a_schema_is_built_is_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found at random moments of deploy: pydantic tells of it in the words of an error of its own, without a cause."""
    from pydantic_core import SchemaError

    from optimizer.cli import program

    def struck(arguments: list[str]) -> Any:
        raise SchemaError('Error building "literal" validator:\n  KeyboardInterrupt: ')

    monkeypatch.setattr(program, "_app_for", struck)
    with pytest.raises(SystemExit) as left:
        program.main(["solve", EXAMPLE])
    assert left.value.code == 3 and capsys.readouterr().err == "interrupted before an answer was found\n"


@pytest.mark.long
def test_at_fifty_random_moments(tmp_path: Path) -> None:
    problem = tmp_path / "p.yaml"
    problem.write_text(yaml_text(INVENTORY))
    moments = random.Random(21)
    for run in range(50):
        _struck(problem, signal.SIGTERM if run % 2 else signal.SIGINT, moments.uniform(0.2, 12.0))
