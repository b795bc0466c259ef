"""What ``sweep`` prints: one screen, and never a broken word whatever the width."""

from __future__ import annotations

import io
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from optimizer import problem_from_dict, sweep
from optimizer.render.columns import Shown, fitting
from optimizer.render.sweep_plot import plot
from optimizer.sweeps.curve import curves
from optimizer.sweeps.points import Point
from optimizer.sweeps.screen import MOST_ROWS, one_screen, runs_of, varied
from tests.command import run
from tests.sweep.problems import SMALL, scenarios, written

ASKED: dict[str, Any] = {
    "cross": {"hardware.gpu": ["l4-24gb", "rtx-4090-24gb"], "workload.requests_per_s": [4, 40, 4000, 40000]}
}


@pytest.fixture(scope="module")
def points() -> list[Point]:
    """Eight scenarios at 12 counts; at 4,000 requests/s and more none is enough."""
    return list(sweep(problem_from_dict(SMALL), "1..12", ASKED, workers=1))


def test_a_scenario_has_the_rows_that_matter(points: list[Point]) -> None:
    screen = one_screen(points, curves(points))
    read = {curve.name: curve for curve in curves(points)}
    assert {row.first.name for row in screen.rows} == {p.name for p in points if p.figures is not None}
    for row in screen.rows:
        for word, point in (("fewest", read[row.first.name].fewest), ("knee", read[row.first.name].knee)):
            assert (word in row.what) == (point in row.points)
    assert len(screen.rows) <= MOST_ROWS and screen.hidden_lines == len(runs_of(points)) - len(screen.rows)


def test_scenarios_without_a_count_are_named_with_a_reason(points: list[Point]) -> None:
    none = one_screen(points, curves(points)).none
    without = {p.name for p in points} - {p.name for p in points if p.figures is not None}
    assert len(without) == 4 and none
    for gpu in ("l4-24gb", "rtx-4090-24gb"):
        said = " ".join(sentence for sentence in none if gpu in sentence)
        assert "no count works" in said and "4000" in said and "40000" in said and "because" in said


def test_fields_that_differ_are_columns(points: list[Point]) -> None:
    assert varied(points) == {"hardware.gpu": "gpu", "workload.requests_per_s": "requests_per_s"}
    assert varied(points[:12]) == {}


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
@pytest.mark.parametrize("everything", [False, True])
def test_no_word_is_broken(
    points: list[Point], width: int, everything: bool, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optimizer.render.sweep import print_sweep

    monkeypatch.setenv("COLUMNS", "400")
    print_sweep(points, curves(points), everything=everything)
    words = set(capsys.readouterr().out.split())
    monkeypatch.setenv("COLUMNS", str(width))
    print_sweep(points, curves(points), everything=everything)
    out = capsys.readouterr().out
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if "───" in line) + 1
    rows = list(takewhile(str.strip, lines[start:]))
    assert rows and all(set(line.split()) <= words for line in rows)
    assert everything or len(lines) < 40


def test_columns_of_least_weight_go_first() -> None:
    columns = [Shown("name", ["a-long-name"]), Shown("one", ["1" * 20], 1), Shown("two", ["2" * 20], 2)]
    for width, left in ((80, []), (45, ["two"]), (20, ["one", "two"]), (5, ["one", "two"])):
        table, out = fitting(columns, width)
        assert out == left
        drawn = io.StringIO()
        Console(file=drawn, width=max(width, 14)).print(table)
        assert "a-long-name" in drawn.getvalue()


def test_all_prints_every_line(tmp_path: Path) -> None:
    asked = scenarios(tmp_path, {"cross": {"workload.requests_per_s": [4, 40, 4000]}})
    few = run("sweep", written(tmp_path), "--gpus", "1..12", "--scenarios", asked).stdout
    every = run("sweep", written(tmp_path), "--gpus", "1..12", "--scenarios", asked, "--all").stdout
    assert re.search(r"\d+ more lines?: --all prints them", few) and "--all" not in every
    assert len(every.splitlines()) > len(few.splitlines())


def test_the_picture_says_what_is_asked_and_who_is_not_in_it(points: list[Point]) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra [plot]")
    drawn = plot(points, "small", "p.svg", {"ttft_p99_ms": 900.0, "tpot_p99_ms": 60.0}).decode()
    for words in ("how many GPUs keep every limit", "limit 0.9", "limit 60", "no count works", "request, mean, s"):
        assert words in drawn, words
