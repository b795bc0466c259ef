"""The command ``pareto``: fronts of both kinds of problems, files, refusals, and being stopped."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.cli.program import main
from optimizer.questions.pareto import pareto
from optimizer.questions.pareto_served import STEP
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reporting.curves import load_pareto
from optimizer.results.front import ParetoFront
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.never_served import never_served
from optimizer.search.inventory.solve import InventorySolver
from tests.conftest import changed
from tests.inventory.every_plan import every_plan, listed, narrowed
from tests.inventory.generate import random_inventory

MIXED: dict[str, Any] = {
    "name": "mixed",
    "cluster": [
        {"name": "h100", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 4, "price_per_gpu_hour": 2.5},
        {"name": "a100", "gpu": "a100-sxm-80gb", "nodes": 1, "gpus_per_node": 2, "price_per_gpu_hour": 1.2},
    ],
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 2},
    "requirements": {"max_batch": 64, "max_sequence_tokens": 4096, "tpot_p99_ms": 100},
}


def run(*arguments: str) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as left:
        main(["pareto", *arguments])
    return int(left.value.code or 0)


@pytest.fixture
def calm(example: dict[str, Any], tmp_path: Path) -> str:
    """The example of the README at little load: latency and availability pull apart."""
    path = tmp_path / "calm.yaml"
    path.write_text(yaml.safe_dump(changed(example, workload__requests_per_s=1)))
    return str(path)


def test_json_csv_and_pictures(calm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One front in every form; the report reads the JSON; an older file is replaced whole."""
    table, svg, png = (tmp_path / name for name in ("f.csv", "f.svg", "f.png"))
    table.write_text("old")
    assert run(calm, "--axes", "latency,availability,gpus", "--json", "--csv", str(table), "--plot", str(svg)) == 0
    data = json.loads(capsys.readouterr().out)
    points = data["points"]
    assert data["status"] == "proved" and len(points) == data["on_front"] >= 2
    assert all(point["proved"] and point["verified"] for point in points)
    rows = list(csv.DictReader(table.open()))
    assert [float(row["request_mean_ms"]) for row in rows] == [point["request_mean_ms"] for point in points]
    assert svg.read_text().startswith("<?xml")
    (tmp_path / "f.json").write_text(json.dumps(data))
    assert len(load_pareto(str(tmp_path / "f.json"))) == len(points)
    assert run(calm, "--plot", str(png)) == 0
    out = capsys.readouterr().out
    assert png.read_bytes().startswith(b"\x89PNG") and "Against the point before" in out and "proved" in out
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--axes", "latency"], "--axes"),
        (["--axes", "latency,speed"], "'speed'"),
        (["--axes", "latency,latency"], "--axes"),
        (["--axes", "latency,price"], "price_per_gpu_hour"),
        (["--points", "1"], "--points"),
        (["--plot", "front.pdf"], "--plot"),
        (["--time-limit", "-1"], "--time-limit"),
        (["--csv", "/no/such/folder/f.csv"], "--csv"),
    ],
)
def test_refusals(calm: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the option."""
    assert run(calm, *options) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


def test_infeasible(example: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No front, exit code 1, no picture."""
    path, plot = tmp_path / "p.yaml", tmp_path / "f.svg"
    path.write_text(yaml.safe_dump(changed(example, requirements__tpot_p99_ms=0.001)))
    assert run(str(path), "--plot", str(plot)) == 1
    assert "no front" in capsys.readouterr().out and not plot.exists()


def test_stopped_in_the_middle(calm: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C at the second point: the first stays proved, the front is marked incomplete."""
    from optimizer.search.uniform.front import RowFront

    before = RowFront.proved

    def proved(self: RowFront, number: int, solver: Any) -> bool | None:
        if number:
            raise KeyboardInterrupt
        return before(self, number, solver)

    monkeypatch.setattr(RowFront, "proved", proved)
    assert run(calm) == 0
    out = capsys.readouterr().out
    assert "INCOMPLETE" in out and "not proved" in out
    assert run(calm, "--json") == 0
    assert [p["proved"] for p in json.loads(capsys.readouterr().out)["points"]][:2] == [True, False]


def _no_point_beats_another(front: ParetoFront) -> None:
    values = [(p.request_mean_ms, p.not_served, p.gpus) for p in front.points]
    for one in values:
        for other in values:
            assert one is other or not all(a <= b for a, b in zip(one, other, strict=True))


def test_inventory_against_every_plan() -> None:
    """With at most a point's bound on GPUs, no plan at all is faster by a millisecond than the fastest point within it."""
    problem = narrowed(inventory_from_dict(MIXED))
    front = pareto(problem, ("latency", "availability", "gpus"), points=40)
    assert front.status == "proved" and len(front.points) > 2 and not front.mismatches
    _no_point_beats_another(front)
    candidates = Candidates(problem)
    solver = InventorySolver(problem, candidates)
    plans = every_plan(candidates)
    assert plans is not None
    placed = [one for plan in plans if (one := solver._place(plan)) is not None]
    for gpus in range(1, problem.gpus + 1):
        within = [one.split.mean_ms for one in placed if one.plan.gpus(candidates) <= gpus]
        shown = [point.request_mean_ms for point in front.points if point.gpus <= gpus]
        assert bool(within) == bool(shown)
        if within:
            assert min(shown) <= min(within) + 1


def test_inventory_by_price_and_without_prices() -> None:
    """Prices bound the plans; a group without one is refused by name."""
    front = pareto(inventory_from_dict(MIXED), ("latency", "price"), points=6)
    prices = [point.price_per_hour for point in front.points]
    assert prices == sorted(prices, reverse=True) and all(point.proved for point in front.points)
    unpriced = {**MIXED, "cluster": [{**MIXED["cluster"][0], "price_per_gpu_hour": None}, MIXED["cluster"][1]]}
    with pytest.raises(ValueError, match="h100 states none"):
        pareto(inventory_from_dict(unpriced), ("latency", "price"))


@pytest.mark.heavy(7)
@pytest.mark.parametrize("seed", [7, 10, 13])
def test_generated_inventories(seed: int) -> None:
    """Feasible exactly where solving is; every point verified; none beats another."""
    problem = narrowed(inventory_from_dict(random_inventory(seed)))
    feasible = InventorySolver(problem, Candidates(problem)).any().best is not None
    front = pareto(problem, ("latency", "availability", "gpus"), points=6)
    assert front.status == ("proved" if feasible else "infeasible") and not front.mismatches
    assert all(point.verified for point in front.points)
    _no_point_beats_another(front)


@pytest.mark.heavy(7, 13)
@pytest.mark.parametrize("seed", [0, 7, 10, 13, 21])
def test_steps_of_what_is_served_against_every_plan(seed: int, met: Callable[[str], None]) -> None:
    """Latency against availability alone: the whole front, each point against every plan valued by itself."""
    problem = narrowed(inventory_from_dict(random_inventory(seed)))
    candidates = Candidates(problem)
    solver = InventorySolver(problem, candidates)
    plans = every_plan(candidates)
    if plans is None:
        pytest.skip("too many plans for brute force")
    placed = [one for plan in plans if (one := solver._place(plan)) is not None]
    front = pareto(problem, ("latency", "availability"), points=200)
    if not placed:
        assert front.status == "infeasible"
        met("nothing to compare")
        return
    assert front.status == "proved" and front.on_front == len(front.points) and not front.mismatches
    assert any("nothing serves more" in said for said in front.proof)
    least = min(1 - one.value.availability for one in placed)
    assert front.points[-1].not_served <= least + 2e-12
    for point in front.points:
        as_good = [one.split.mean_ms for one in placed if 1 - one.value.availability <= point.not_served]
        assert math.ceil(point.request_mean_ms - 1e-9) <= math.ceil(min(as_good) - 1e-9)
    for one in placed:
        assert any(
            point.request_mean_ms <= one.split.mean_ms + 1 and point.not_served <= 1 - one.value.availability + 1e-12
            for point in front.points
        )
    met("compared")


def test_nothing_serves_more_than_while_a_rack_is_up() -> None:
    """Two racks: what one alone carries goes unserved while both are down, and further steps would take thousands of plans."""
    path = Path(__file__).parents[1] / "problems" / "two-racks.yaml"
    problem = inventory_from_dict(yaml.safe_load(path.read_text()))
    rack = problem.failures.unavailability("rack")
    assert rack**2 <= never_served(problem) <= rack**2 * 1.001
    front = pareto(problem, ("latency", "availability"))
    assert front.status == "proved" and front.on_front == len(front.points) and not front.mismatches
    assert front.points[-1].not_served - STEP < rack**2 <= front.points[-1].not_served


def test_all_nodes_down_by_hand() -> None:
    """One rack of two nodes in a zone and a node by itself outside: every way in which all are down."""
    groups = [
        {"name": "a", "gpu": "h100-sxm-80gb", "nodes": 2, "rack": "r1", "zone": "z"},
        {"name": "b", "gpu": "a100-sxm-80gb", "nodes": 1},
    ]
    failures = {"node_mtbf_hours": 40, "rack_mtbf_hours": 90, "zone_mtbf_hours": 190, "repair_hours": 10}
    problem = inventory_from_dict({**MIXED, "cluster": groups, "failures": failures})
    node, rack, zone = 10 / 50, 10 / 100, 10 / 200
    expected = node * (zone + (1 - zone) * (rack + (1 - rack) * node**2))
    assert never_served(problem) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_no_plan_serves_what_is_never_served(seed: int, met: Callable[[str], None]) -> None:
    """Against every plan of a small inventory, with parts that fail often, so that all of them are down at times."""
    values = random_inventory(seed)
    often = {"node_mtbf_hours": 40, "rack_mtbf_hours": 90, "zone_mtbf_hours": 190, "repair_hours": 10}
    # Losses to be survived and limits on times refuse plans, but say nothing of how often all nodes are down.
    values["requirements"] = {"max_batch": 16, "max_sequence_tokens": 2048}
    values["workload"]["requests_per_s"] = 0.2
    candidates, plans = listed(inventory_from_dict({**values, "failures": often}), 300)
    if plans is None:
        met("too many plans")
        return
    solver = InventorySolver(candidates.problem, candidates)
    placed = [one for plan in plans if (one := solver._place(plan)) is not None]
    never = never_served(candidates.problem)
    assert all(1 - one.value.availability >= never * (1 - 1e-9) for one in placed)
    met("compared" if placed else "nothing to compare")


def test_a_front_that_is_not_settled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time for the steps of what is served: the bounds on GPUs still are, and nothing is claimed beyond."""
    import optimizer.questions.pareto_inventory as room

    monkeypatch.setattr(room, "SERVED_WITHIN_S", 0.0)
    front = pareto(inventory_from_dict(MIXED), ("latency", "availability"), points=6)
    assert front.points and not front.mismatches and front.on_front is None
    assert not any("nothing serves more" in said for said in front.proof)
