"""What a report says: every section of the report that the project was created from, with the answer's own figures."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.facts.cost_table import Correction, CostTable
from optimizer.render.as_json import dumps
from optimizer.reporting import build
from optimizer.reporting.build import build_report
from optimizer.reporting.derive.faults import losses
from optimizer.reporting.pictures.cluster import cluster_picture
from optimizer.reporting.recommend import Recommendations
from optimizer.reporting.written.html import report_html
from optimizer.reporting.written.json import report_data
from optimizer.reporting.written.markdown import report_markdown
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement, place_evenly
from tests.conftest import changed
from tests.report.builders import PROPOSED, case, example

SECTIONS = [
    "summary", "hardware", "model", "strategy", "performance", "throughput", "communication", "balance", "faults", "launch",
    "findings", "recommendations", "score", "graph", "choices",
]  # fmt: skip


def data(built: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dumps(report_data(built.report)))
    return found


def table(report: dict[str, Any], id: str) -> list[dict[str, Any]]:
    """Rows of a table by its id."""
    return next(
        block["rows"]
        for section in report["sections"]
        for block in section["blocks"]
        if block.get("id") == id and "rows" in block
    )


def test_every_section_is_there() -> None:
    report = data(example())
    assert [section["id"] for section in report["sections"]] == SECTIONS
    for section in report["sections"]:
        assert section["blocks"], section["id"]


def test_figures_are_those_of_the_answer() -> None:
    built = example(PROPOSED)
    metrics, report = built.subject.metrics, data(built)  # type: ignore[union-attr]
    rows = {row["requirement"]: row for row in table(report, "requirements")}
    assert rows["Time to first token, P99"]["predicted"]["value"] == metrics.ttft_p99_ms
    assert rows["Time per output token (decode), P50"]["predicted"]["value"] == metrics.tpot_p50_ms
    assert rows["Time per output token (decode), P50"]["status"]["mark"] == "fail"
    assert rows["Prefill, P50"]["status"]["mark"] == "pass"
    stages = [row["total"]["value"] for row in table(report, "memory")]
    assert stages == [metrics.memory_bytes_per_stage[s] for s in (0, 1)]
    assert report["verdict"] == "fail" and "2 rules" in report["headline"]


def test_verdicts() -> None:
    assert (example().report.verdict, "proved best" in example().report.headline) == ("pass", True)
    assert example(PROPOSED).report.verdict == "fail"
    assert case("one GPU").report.verdict == "pass"
    assert case("overloaded").report.verdict == "fail"


def test_a_problem_without_a_strategy_still_has_a_report(example: dict[str, Any]) -> None:
    problem = problem_from_dict(changed(example, hardware__gpus_per_node=1))
    built = build_report(problem, solve(problem))
    assert built.report.verdict == "fail" and built.subject is None
    report = data(built)
    assert [section["id"] for section in report["sections"]] == [
        "summary",
        "hardware",
        "model",
        "strategy",
        "recommendations",
    ]
    assert table(report, "recommendations")
    assert "No strategy keeps every rule" in report_html(built)


def test_another_source_of_costs_is_carried_through(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured factors on the times: rounds are that source's, stages are not told apart, and the sums still hold."""
    facts = problem_from_dict(changed(example, hardware__nodes=2))
    flat = ((1, 1.25),)
    one = Correction(
        tensor_parallel=2, pipeline_parallel=4, expert_parallel=1, weight_precision="fp16", kv_precision=None, round=flat, token=flat,
        admission=flat, prefill=flat, prompt=1.25, samples=3, least=1, most=64,
    )  # fmt: skip
    problem = facts.model_copy(update={"costs": CostTable(origin="my runs", source="table", corrections=(one,))})
    monkeypatch.setattr(build, "advice_of", lambda *_: Recommendations(()))
    built = build_report(problem, check(problem, Fixed(2, 4, 2), repairs=False))
    assert built.subject is not None and built.subject.corrected and built.report.disagreeing == ()
    assert table(data(built), "bubbles")[0]["decode"]["text"] == "not known"
    assert "not known" in report_html(built)


def test_recommendations_were_solved_again(example: dict[str, Any]) -> None:
    """The gain of running the optimum is the difference of two answers, and a recommended change gives what it promises."""
    problem = problem_from_dict(example)
    built = build_report(problem, check(problem, PROPOSED, repairs=False))
    rows = table(data(built), "recommendations")
    best, given = solve(problem).objective, check(problem, PROPOSED, repairs=False).objective
    assert best is not None and given is not None
    assert rows[0]["gain"]["value"] == pytest.approx(given.value - best.value)
    node = next(row for row in rows if row["field"] == "hardware.nodes: 2")
    again = solve(problem_from_dict(changed(example, hardware__nodes=2))).objective
    assert again is not None and node["gain"]["value"] == pytest.approx(best.value - again.value)


@pytest.mark.parametrize(
    ("tp", "pp", "dp", "nodes", "per_node"), [(2, 1, 3, 2, 4), (2, 2, 1, 2, 3), (4, 1, 2, 1, 8), (3, 2, 2, 4, 4)]
)
def test_losses_are_counted_as_by_hand(
    example: dict[str, Any], tp: int, pp: int, dp: int, nodes: int, per_node: int
) -> None:
    problem = problem_from_dict(changed(example, hardware__nodes=nodes, hardware__gpus_per_node=per_node))
    strategy = check(problem, Fixed(tp, pp, dp), repairs=False).strategy
    assert strategy is not None
    placement = place_evenly(problem, strategy)
    everything = [GpuPlace(f"node-{n}", g) for n in range(nodes) for g in range(per_node)]

    def hit(lost: set[GpuPlace]) -> int:
        return sum(bool(lost & set(instance.gpus)) for instance in placement.instances)

    on_node = [{place for place in everything if place.node == f"node-{n}"} for n in range(nodes)]
    expected: dict[tuple[str, int], int] = {}
    ways = {
        "1 GPU": [{place} for place in everything],
        "2 GPUs": [set(pair) for pair in combinations(everything, 2)],
        "1 node": on_node,
        "2 nodes": [a | b for a, b in combinations(on_node, 2)],
    }
    for what, cases in ways.items():
        for lost in cases:
            expected[what, hit(lost)] = expected.get((what, hit(lost)), 0) + 1
    found = losses(placement, nodes, nodes * per_node)
    assert {(loss.what, loss.instances): loss.cases for loss in found} == expected
    assert all(loss.of == len(ways[loss.what]) for loss in found)


def test_markdown_links_lead_somewhere() -> None:
    text = report_markdown(example(PROPOSED).report)
    anchors = re.findall(r'<a id="([^"]+)"></a>', text)
    assert len(anchors) == len(set(anchors))
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(links) > 150 and set(links) <= set(anchors)


def test_names_cannot_become_markup(example: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script> | [x](http://y) `z` # heading"
    problem = problem_from_dict(changed(example, name=evil))
    built = build_report(problem, check(problem, PROPOSED, repairs=False))
    page, text = report_html(built), report_markdown(built.report)
    assert "<script>" not in page and "&lt;script&gt;" in page
    body = re.sub(r"```.*?```", "", text, flags=re.S)
    assert "<script>" not in body.replace(r"\<", "") and "[x](" not in body


def test_the_map_is_drawn_from_a_placement_with_several_pools() -> None:
    """As inventories have them: other shapes, other nodes, GPUs in any order, nodes that nothing uses."""
    small, large = (case(name).subject.strategy for name in ("one GPU", "experts over all replicas, two nodes"))  # type: ignore[union-attr]
    many = tuple(GpuPlace(f"h100-{i // 8}", 7 - i % 8) for i in range(16))
    placement = Placement((
        PlacedInstance("replica-0", 0, large, 2, 0.9, many),
        PlacedInstance("replica-1", 1, small, 1, 0.1, (GpuPlace("a100-0", 3),)),
    ))  # fmt: skip
    nodes = {"h100-0": 8, "h100-1": 8, "a100-0": 4, "a100-1": 4}
    svg = cluster_picture(placement, nodes, "Map", "A map of four nodes.")
    wide = svg[: svg.index("</svg>")]
    for words in ("h100-0, 1, same", "a100-0", "a100-1", "replica 0.0", "replica 1", "TP 7"):
        assert words in wide
    assert "replica 0.1" not in wide
    assert wide.count(">idle<") == 7
