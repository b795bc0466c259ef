"""Every format is read back by a reader that is not ours, and says what the graph says."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from typing import Any

import networkx
import pydot
import pytest

from optimizer.facts.errors import ProblemError
from optimizer.render.graph_dot import dot_lines
from optimizer.render.graph_graphml import graphml_lines
from optimizer.render.graph_json import json_lines
from optimizer.render.graph_mermaid import mermaid_lines
from optimizer.render.graph_perfetto import perfetto_lines
from optimizer.results.graph import Graph
from optimizer.verify.graph import verify_graph
from tests.graph.cases import EXPERTS, graph, problem, strategy

STATED = problem(EXPERTS)
CASES = {
    "pipeline": graph(STATED, strategy(2, 2, 2, layers=(2, 1))),
    "experts": graph(STATED, strategy(2, 1, 2, 4, total=3)),
    "one GPU": graph(STATED, strategy(total=3)),
}


def counts(found: Graph) -> tuple[int, int]:
    parts = list(found.instances())
    return sum(len(part.nodes) for part in parts), sum(len(part.edges) for part in parts)


@pytest.mark.parametrize("name", CASES)
def test_json_is_networkx_node_link(name: str) -> None:
    found = CASES[name]
    data = json.loads("".join(json_lines(found, verify_graph(STATED, found))))
    read = networkx.node_link_graph(data, edges="edges")
    assert (read.number_of_nodes(), read.number_of_edges()) == counts(found)
    assert networkx.is_directed_acyclic_graph(read)
    assert data["graph"]["verification"]["passed"] is True
    assert len(data["gpus"]) == found.strategy.gpus and len(data["instances"]) == found.instance_count
    for instance in found.instances():
        for node in instance.nodes:
            kept = read.nodes[node.id]
            assert tuple(kept["gpus"]) == node.gpus and tuple(kept["end_ms"]) == node.end_ms
            assert kept.get("weights_bytes", 0) == node.weights_bytes
            assert kept.get("message_bytes", 0) == node.message_bytes


@pytest.mark.parametrize("name", CASES)
def test_graphml_is_read_back(name: str) -> None:
    found = CASES[name]
    read = networkx.read_graphml(io.BytesIO("".join(graphml_lines(found)).encode()))
    assert (read.number_of_nodes(), read.number_of_edges()) == counts(found)
    for instance in found.instances():
        for node in instance.nodes:
            kept = read.nodes[node.id]
            assert kept["gpus"].split() == list(node.gpus) and kept["start_ms"] == node.start_ms[0]
            assert kept.get("kv_cache_bytes", 0) == node.kv_cache_bytes


@pytest.mark.parametrize("name", CASES)
def test_perfetto_is_a_chrome_trace(name: str) -> None:
    found = CASES[name]
    trace = json.loads("".join(perfetto_lines(found)))
    events: list[dict[str, Any]] = trace["traceEvents"]
    assert trace["displayTimeUnit"] == "ms" and {event["ph"] for event in events} <= {"M", "X", "s", "f"}
    names = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    processes = {event["pid"] for event in events if event["name"] == "process_name"}
    for event in events:
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and event["pid"] in processes
        if event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] >= 0 and (event["pid"], event["tid"]) in names
    runs = sum(
        len(node.gpus) * len(node.start_ms)
        for instance in found.instances()
        for node in instance.nodes
        if node.kind != "token"
    )
    assert sum(event["ph"] == "X" and event["pid"] > 0 for event in events) == runs
    for instance in found.instances():
        for event in events:
            if event["ph"] == "X" and event["pid"] == 0:
                assert event["dur"] / 1e3 == pytest.approx(instance.decode_step_ms, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_events_of_a_track_do_not_overlap(name: str) -> None:
    tracks: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in json.loads("".join(perfetto_lines(CASES[name])))["traceEvents"]:
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for runs in tracks.values():
        runs.sort()
        assert all(end <= start + 1e-5 for (_, end), (start, _) in pairwise(runs))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("modules", [False, True])
def test_dot_is_parsed_by_pydot(name: str, modules: bool) -> None:
    found = CASES[name]
    [read] = pydot.graph_from_dot_data("".join(dot_lines(found, modules=modules)))
    clusters = read.get_subgraphs()
    assert len(clusters) == found.instance_count
    edges = sum(len(cluster.get_edges()) for cluster in clusters)
    if modules:
        nodes = sum(len(cluster.get_nodes()) for cluster in clusters)
        assert (nodes, edges) == counts(found)
    else:
        sends = {"pipeline": 2, "experts": 1, "one GPU": 0}
        assert edges == sends[name]


MERMAID = (
    r"flowchart LR",
    r'  subgraph i\d+\["[^"]*"\]',
    r'    r\d+s\d+\["[^"]*"\]',
    r'    r\d+s\d+ (-->|<-->)\|"[^"]*"\| r\d+s\d+',
    r"  end",
)


@pytest.mark.parametrize("name", CASES)
def test_mermaid_lines_are_flowchart_lines(name: str) -> None:
    lines = "".join(mermaid_lines(CASES[name])).splitlines()
    assert lines[0] == "flowchart LR"
    assert all(any(re.fullmatch(pattern, line) for pattern in MERMAID) for line in lines)
    boxes = {line.split("[")[0].strip() for line in lines if re.match(MERMAID[2], line)}
    s = CASES[name].strategy
    assert len(boxes) == s.data_parallel * s.pipeline_parallel
    for line in lines:
        if re.fullmatch(MERMAID[3], line):
            assert {line.split()[0], line.split()[-1]} <= boxes


def test_mermaid_refuses_what_it_cannot_draw() -> None:
    large = problem(nodes=1000)
    with pytest.raises(ProblemError, match="use --format dot"):
        list(mermaid_lines(graph(large, strategy(1, 2, 2000))))
