"""Results survive: kills at random moments lose and repeat nothing, and equal questions give equal bytes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from optimizer import sweep
from optimizer.facts.errors import ProblemError
from optimizer.sweeps import local, run
from optimizer.sweeps.key import Keys
from optimizer.sweeps.points import point_data, point_from_data
from optimizer.sweeps.run import plan
from optimizer.sweeps.store import Store
from optimizer.sweeps.work import Piece, solve_piece, solve_specs
from tests.sweep.problems import SMALL, scenarios, written

KILLS = 50
RATES = {"cross": {"workload.requests_per_s": [2, 16], "objective": ["balanced", "latency"]}}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Header and rows of a finished file or journal, torn lines left out."""
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def test_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    """One process, several, and the points in another order of work: the file is the same."""
    problem, asked = written(tmp_path), scenarios(tmp_path, RATES)
    files = []
    for workers in (1, 2, 3):
        out = tmp_path / f"{workers}.jsonl"
        points = list(sweep(problem, "1..9", asked, workers=workers, out=out))
        assert [point.index for point in points] == list(range(36))
        files.append(out.read_bytes())
    assert files[0] == files[1] == files[2]
    alone = [next(iter(sweep(problem, [count], RATES, workers=1))) for count in (1, 5, 9)]
    rows = [json.loads(line) for line in files[0].splitlines()[1:]]
    for point, index in zip(alone, (0, 4, 8), strict=True):
        mine = json.loads(json.dumps(point_data(point) | {"index": index}))
        assert mine == {name: value for name, value in rows[index].items() if name != "hash"}


def test_points_survive_json() -> None:
    for point in sweep_of_small():
        again = point_from_data(json.loads(json.dumps(point_data(point))))
        assert again == point


def sweep_of_small() -> list[Any]:
    from optimizer.reading.load import problem_from_dict

    return list(
        sweep(problem_from_dict(SMALL), "1..5", {"cross": {"workload.requests_per_s": [4, 900, -1]}}, workers=1)
    )


def test_resumes_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a run that stopped are taken over; the finished file is taken over by a larger sweep."""
    problem, out = written(tmp_path), tmp_path / "out.jsonl"
    whole = tmp_path / "whole.jsonl"
    list(sweep(problem, "1..8", workers=1, out=whole))
    stopped = sweep(problem, "1..8", workers=1, out=out)
    first = [next(stopped) for _ in range(3)]
    stopped.close()  # type: ignore[attr-defined]
    journal = tmp_path / "out.jsonl.journal"
    assert not out.exists() and len(rows_of(journal)) >= 1 + len(first)
    with journal.open("a") as stream:
        stream.write('{"index":7,"torn')
    solved: list[int] = []

    def counted(piece: Piece, kept: Any) -> Any:
        solved.extend(spec.index for spec in piece.specs)
        return solve_specs(piece, kept)

    monkeypatch.setattr(local, "solve_specs", counted)
    kept = {row["index"] for row in rows_of(journal)[1:]}
    list(sweep(problem, "1..8", workers=1, out=out))
    assert out.read_bytes() == whole.read_bytes() and not journal.exists()
    assert sorted(solved) == sorted(set(range(8)) - kept)
    solved.clear()
    list(sweep(problem, "1..12", workers=1, out=out))
    assert sorted(solved) == [8, 9, 10, 11]
    solved.clear()
    again = out.read_bytes()
    assert len(list(sweep(problem, "1..12", workers=1, out=out))) == 12
    assert not solved and out.read_bytes() == again


def test_rows_of_other_facts_are_not_taken_over(tmp_path: Path) -> None:
    """The hash has the problem, the contents of a model file, prices, the count and the product in it."""
    (tmp_path / "config.json").write_text(json.dumps(SMALL["model"]))
    stated = plan(written(tmp_path, model="config.json"), "1..2")
    keys = {Keys(stated.stated, {}).of(spec) for spec in stated.specs}
    assert len(keys) == 2
    keys |= {Keys(stated.stated, {"l4-24gb": 1.0}).of(spec) for spec in stated.specs}
    (tmp_path / "config.json").write_text(json.dumps(SMALL["model"] | {"intermediate_size": 8192}))
    keys |= {Keys(stated.stated, {}).of(spec) for spec in stated.specs}
    keys |= {Keys(plan(written(tmp_path), "1..2").stated, {}).of(spec) for spec in stated.specs}
    assert len(keys) == 8


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "notes.jsonl"
    out.write_text("my notes\nmore\n")
    with pytest.raises(ProblemError, match="holds no sweep"):
        list(sweep(written(tmp_path), "1..2", workers=1, out=out))
    assert out.read_text() == "my notes\nmore\n"


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    with Store(tmp_path / "out.jsonl", {}), pytest.raises(ProblemError, match="another run"):
        list(sweep(written(tmp_path), "1..2", workers=1, out=tmp_path / "out.jsonl"))


@pytest.mark.long
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL, fifty times: no row is lost once written, none is written twice, and the end is as if nothing happened."""
    problem, asked, whole = written(tmp_path), scenarios(tmp_path, RATES), tmp_path / "whole.jsonl"
    list(sweep(problem, "1..12", asked, workers=1, out=whole))
    rng, kills, finished = random.Random(1), 0, 0
    while kills < KILLS:
        out = tmp_path / f"out{kills}.jsonl"
        journal = tmp_path / f"{out.name}.journal"
        kept: list[dict[str, Any]] = []
        while not out.exists():
            process = multiprocessing.get_context("fork").Process(target=run_quietly, args=(problem, asked, out))
            process.start()
            if kills < KILLS:
                wait_for_rows(process, journal, len(kept) + 1)
                time.sleep(rng.uniform(0, 0.05))
                process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            if journal.exists():
                rows = rows_of(journal)[1:]
                assert rows[: len(kept)] == kept
                assert len({row["hash"] for row in rows}) == len(rows)
                kept = rows
        finished += 1
        assert out.read_bytes() == whole.read_bytes() and not journal.exists()
    assert finished >= 2


def run_quietly(problem: str, asked: str, out: Path) -> None:
    """The sweep in a forked process."""
    for _ in sweep(problem, "1..12", asked, workers=1, out=out):
        pass


def wait_for_rows(process: Any, journal: Path, many: int) -> None:
    """Until the journal has so many rows, or the process has ended."""
    while process.is_alive() and (not journal.exists() or journal.read_bytes().count(b"\n") <= many):
        time.sleep(0.001)


def test_interrupted_runs_say_how_to_go_on(tmp_path: Path) -> None:
    problem, asked, out = written(tmp_path), scenarios(tmp_path, RATES), tmp_path / "out.jsonl"
    command = [sys.executable, "-c", "from optimizer.cli import main; main()", "sweep", problem, "--gpus", "1..40"]
    command += ["--scenarios", asked, "--out", str(out), "--workers", "2"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    journal = tmp_path / "out.jsonl.journal"
    until = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "goes on from there" in said[1] and "Traceback" not in said[1]
    assert journal.exists() and rows_of(journal)[0]["kind"] == "optimizer sweep"


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    problem, asked, out = written(tmp_path), scenarios(tmp_path, RATES), tmp_path / "out.jsonl"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=run_in_two, args=(problem, asked, out))
    process.start()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until = time.monotonic() + 60
    workers: list[str] = []
    while len(workers) < 2 and time.monotonic() < until:
        workers = children.read_text().split()
        time.sleep(0.01)
    time.sleep(0.2)
    process.kill()
    process.join()
    assert len(workers) == 2
    while any(Path(f"/proc/{pid}/stat").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}/stat").exists()]
    list(sweep(problem, "1..16", asked, workers=1, out=out))
    assert len(rows_of(out)) == 1 + 64


def run_in_two(problem: str, asked: str, out: Path) -> None:
    """A long sweep in two processes."""
    for _ in sweep(problem, "1..16", asked, workers=2, out=out):
        pass


def deadly(piece: Piece) -> Any:
    """Solve a piece, unless it has the point on 3 GPUs: then the process is killed."""
    if any(spec.gpus == 3 for spec in piece.specs):
        os.kill(os.getpid(), signal.SIGKILL)
    return solve_piece(piece)


def test_a_process_that_dies_costs_its_own_point_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process that meets the point on 3 GPUs is killed; the other points are all there."""
    monkeypatch.setattr(local, "solve_piece", deadly)
    monkeypatch.setattr(run, "FEW_POINTS", 0)
    points = list(sweep(written(tmp_path), "1..5", workers=2))
    assert [point.status == "error" for point in points] == [False, False, True, False, False]
    assert "died" in (points[2].error or "")


def test_a_defect_at_one_point_is_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.questions import many

    real = many.ProblemFamily.solve

    def fails(family: Any, problem: Any) -> Any:
        if problem.hardware.gpus == 2:
            raise ZeroDivisionError("division by zero")
        return real(family, problem)

    monkeypatch.setattr(many.ProblemFamily, "solve", fails)
    monkeypatch.delenv("OPTIMIZER_DEBUG", raising=False)
    points = list(sweep(written(tmp_path), "1..4", workers=1))
    assert [point.status == "error" for point in points] == [False, True, False, False]
    assert "ZeroDivisionError" in (points[1].error or "")
