"""``optimizer graph`` of prefill and decode pools: what is drawn, read back by other readers, and what its check finds wrong."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx
import pydot
import pytest
import yaml

from optimizer import load_problem
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.graph.pools import build_pool_graph
from optimizer.questions.cluster_pools import check_cluster_pools, found_cluster_pools
from optimizer.questions.pools import check_pools, found_pools
from optimizer.render.pool_graph_data import pool_graphml_lines, pool_json_lines
from optimizer.render.pool_graph_pictures import pool_dot_lines, pool_mermaid_lines
from optimizer.results.graph import GraphCheck
from optimizer.results.pool_graph import PoolGraph
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.search.common.clock import Clock
from optimizer.verify.pools.graph_check import verify_pool_graph
from tests.command import run
from tests.graph.cases import EXPERTS
from tests.pools.clusters import cluster_values, cluster_with
from tests.pools.problems import problem_with, values_with

PROBLEMS = Path(__file__).parents[2] / "problems"
EQUAL = str(PROBLEMS / "disaggregated-2xh100.yaml")
BY_PRICE = str(PROBLEMS / "prefill-h100-decode-by-price.yaml")
ZONES = str(PROBLEMS / "pools-in-two-zones.yaml")

Drawn = tuple[Any, Any, PoolGraph, GraphCheck]


def drawn(problem: Any, answer: Any) -> Drawn:
    assert answer is not None
    found = build_pool_graph(problem, answer)
    return problem, answer, found, verify_pool_graph(problem, answer, found)


def best(problem: Any) -> Drawn:
    ask: Any = found_cluster_pools if isinstance(problem, InventoryProblem) else found_pools
    return drawn(problem, ask(problem, FixedPools(), Clock()))


def given(problem: Any, prefill: FixedPool, decode: FixedPool) -> Drawn:
    ask: Any = check_cluster_pools if isinstance(problem, InventoryProblem) else check_pools
    return drawn(problem, ask(problem, FixedPools(prefill, decode)))


def coupled() -> Drawn:
    """Ranks of a model with experts over two nodes, fed by tensor-parallel prefill."""
    work = {"prompt_tokens": 900, "prompt_tokens_p99": 2500, "output_tokens": 100, "requests_per_s": 6}
    problem = problem_with(hardware={"nodes": 3, "gpus_per_node": 2}, model=EXPERTS, workload=work, engine="sglang")
    return given(problem, FixedPool(tensor_parallel=1, count=2), FixedPool(1, 4, 1))


CASES: dict[str, Callable[[], Drawn]] = {
    "equal nodes": lambda: best(load_problem(EQUAL)),
    "two groups": lambda: best(load_problem(BY_PRICE)),
    "two zones": lambda: best(load_problem(ZONES)),
    "experts": coupled,
}


@pytest.fixture(scope="module")
def every() -> dict[str, Drawn]:
    return {name: make() for name, make in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_check_agrees(every: dict[str, Drawn], name: str) -> None:
    problem, answer, found, checked = every[name]
    assert checked.passed and not checked.mismatches and checked.checks > 50
    assert len(found.gpus) == answer.strategy.gpus
    through = sum(edge.requests_per_s for edge in found.transfers())
    assert through == pytest.approx(problem.workload.requests_per_s)
    assert checked.edges == len(found.gpus) + len(found.tensor) + len(list(found.transfers()))


def test_equal_nodes_by_hand(every: dict[str, Drawn]) -> None:
    """docs/disaggregated.md, section 9: 1,504 tokens in whole blocks of 131,072 bytes cross NVLink at 450 GB/s."""
    _, _, found, _ = every["equal nodes"]
    [crossing] = found.transfers()
    assert crossing.bytes_per_request == crossing.longest_bytes_per_request == 1_504 * 131_072 == 197_132_288
    assert crossing.bytes_per_s == 10 * 197_132_288 and crossing.link == "nvlink" and found.link == "NVLink"
    assert round(found.transfer_ms, 3) == 0.438
    first, second = found.instances
    assert (first.tokens_per_s_per_rank, second.tokens_per_s_per_rank) == (15_000, 2_000)
    assert first.cache_link_gb_per_s == 450 and round(first.cache_link_busy or 0, 4) == 0.0044
    assert [(gpu.name, gpu.pool) for gpu in found.gpus] == [("node-0/gpu-0", "prefill"), ("node-0/gpu-1", "decode")]
    assert found.tensor == ()


def test_two_groups_by_hand(every: dict[str, Drawn]) -> None:
    """Section 13: 788,529,152 bytes a prompt, 4 requests/s at each instance of H100 and of H200, 50 GB/s a GPU, 6.3 % busy."""
    _, _, found, _ = every["two groups"]
    crossing = list(found.transfers())
    assert {edge.bytes_per_request for edge in crossing} == {788_529_152}
    assert [edge.requests_per_s for edge in crossing] == [2.0] * 4 and {edge.link for edge in crossing} == {"network"}
    assert {one.group for one in found.instances} == {"h100", "h200"}
    assert all(one.cache_link_gb_per_s == 50 and round(one.cache_link_busy or 0, 3) == 0.063 for one in found.instances)
    assert round(found.transfer_ms, 2) == 15.78


def test_tensor_parallel_traffic_by_hand(every: dict[str, Drawn]) -> None:
    """Qwen3-32B: 64 layers of 5,120 in 16 bit, two all-reduces each, 2 · 3/4 of the vector from each of four GPUs to the next."""
    problem, _, found, _ = every["two zones"]
    assert {edge.bytes_per_token for edge in found.tensor} == {2 * 64 * (5_120 * 2) * 6 // 4} == {1_966_080}
    assert len(found.tensor) == 16 and {edge.link for edge in found.tensor} == {"nvlink"}
    work = problem.workload
    rates = {edge.bytes_per_s for edge in found.tensor}
    assert rates == {1_966_080.0 * 4 * work.prompt_tokens, 1_966_080.0 * 4 * work.output_tokens}
    assert {edge.link for edge in found.transfers()} == {"nvlink", "network"}  # within a zone's node, and between zones


def test_experts_by_hand(every: dict[str, Drawn]) -> None:
    """Two layers with experts, 2 copies of a token at most (over two nodes), 3/4 of them to other GPUs, both ways."""
    from optimizer.catalog.constants import constants

    _, _, found, _ = every["experts"]
    decode = found.instances[-1]
    assert decode.ranks == 4 and len(decode.nodes) == 2 and decode.exchange_link == "network"
    assert decode.exchange_bytes_per_token == 2 * 2 * 2 * 1024 * constants().exchange_bytes * 3 / 4
    [usual, *_] = found.transfers()
    assert usual.bytes_per_request < usual.longest_bytes_per_request


def broken(found: PoolGraph) -> Iterator[tuple[str, PoolGraph]]:
    """The graph with one thing wrong, and a word of what the check says."""
    gpus, instances, transfers = found.gpus, found.instances, list(found.transfers())
    first, other = gpus[0], instances[0]
    yield "weights", replace(found, gpus=(replace(first, weights_bytes=first.weights_bytes + 1), *gpus[1:]))
    yield "room for cache", replace(found, gpus=(replace(first, cache_room_bytes=1), *gpus[1:]))
    yield "pool", replace(found, gpus=(replace(first, pool="decode"), *gpus[1:]))
    yield "node", replace(found, gpus=(replace(first, node="elsewhere"), *gpus[1:]))
    yield "domains", replace(found, gpus=(replace(first, domain=gpus[-1].domain + "x"), *gpus[1:]))
    yield "GPUs used once", replace(found, gpus=(replace(first, name=gpus[-1].name, node=gpus[-1].node), *gpus[1:]))
    yield "rank order", replace(found, gpus=gpus[1:])
    yield "share", replace(found, instances=(replace(other, share=other.share / 2), *instances[1:]))
    yield "busy", replace(found, instances=(replace(other, cache_link_busy=0.5), *instances[1:]))
    yield "between the pools", replace(found, instances=(replace(other, cache_bytes_per_s_per_gpu=1.0), *instances[1:]))
    yield "instances", replace(found, instances=instances[:-1], gpus=gpus[:-4])
    yield "transfer_ms", replace(found, transfer_ms=found.transfer_ms * 1.01)
    yield "TP rings", replace(found, tensor=found.tensor[1:])
    ring = found.tensor[0]
    yield (
        "bytes of a token",
        replace(found, tensor=(replace(ring, bytes_per_token=ring.bytes_per_token + 1), *found.tensor[1:])),
    )
    yield (
        "bytes per second",
        replace(found, tensor=(replace(ring, bytes_per_s=ring.bytes_per_s * 2), *found.tensor[1:])),
    )
    yield "link", replace(found, tensor=(replace(ring, link="network"), *found.tensor[1:]))
    yield "each once", replace(found, transfers=lambda: iter(transfers[1:]))
    yield "each once", replace(found, transfers=lambda: iter([*transfers, transfers[0]]))
    for field, value in (
        ("bytes_per_request", 1),
        ("longest_bytes_per_request", 1),
        ("bytes_per_s", 1.0),
        ("link", "pcie"),
    ):
        edges = [replace(transfers[0], **{field: value}), *transfers[1:]]  # type: ignore[arg-type]
        yield "cache", replace(found, transfers=lambda edges=edges: iter(edges))  # type: ignore[misc]


def test_what_is_wrong_is_found(every: dict[str, Drawn]) -> None:
    problem, answer, found, _ = every["two zones"]
    for word, wrong in broken(found):
        checked = verify_pool_graph(problem, answer, wrong)
        assert not checked.passed and any(word in one.what for one in checked.mismatches), word


def test_two_instances_on_one_node_are_not_spread(every: dict[str, Drawn]) -> None:
    """An answer that spreads a pool over two nodes is not drawn on one."""
    problem, answer, found, _ = every["two groups"]
    moved = {"h100-1/gpu-0": ("h100-0/gpu-1", "h100-0", "h100-0/domain-0")}
    gpus = tuple(
        replace(gpu, name=moved[gpu.name][0], node=moved[gpu.name][1], domain=moved[gpu.name][2])
        if gpu.name in moved
        else gpu
        for gpu in found.gpus
    )
    instances = tuple(
        replace(one, nodes=tuple(n.replace("h100-1", "h100-0") for n in one.nodes)) for one in found.instances
    )
    checked = verify_pool_graph(problem, answer, replace(found, gpus=gpus, instances=instances))
    assert {one.what for one in checked.mismatches} == {
        "prefill pool on h100: nodes",
        "prefill pool on h100: fullest node",
    }


@pytest.mark.parametrize("name", CASES)
def test_json_and_graphml_are_read_back(every: dict[str, Drawn], name: str) -> None:
    _, _, found, checked = every[name]
    data = json.loads("".join(pool_json_lines(found, checked)))
    read = networkx.node_link_graph(data, edges="edges")
    assert data["graph"]["kind"] == "pools-graph" and data["graph"]["verification"]["passed"] is True
    assert (read.number_of_nodes(), read.number_of_edges()) == (checked.nodes, checked.edges)
    marked = networkx.read_graphml(io.BytesIO("".join(pool_graphml_lines(found)).encode()))
    assert (marked.number_of_nodes(), marked.number_of_edges()) == (checked.nodes, checked.edges)
    for edge in found.transfers():
        for one in (read, marked):
            assert one.edges[edge.source, edge.target]["bytes_per_request"] == edge.bytes_per_request
    for gpu in found.gpus:
        assert read.nodes[gpu.name]["pool"] == marked.nodes[gpu.name]["pool"] == gpu.pool


MERMAID = (
    r"flowchart LR",
    r'  subgraph n\d+\["[^"]*"\]',
    r'    i\d+n\d+\["[^"]*"\]',
    r'  i\d+n\d+ -->\|"[^"]*"\| i\d+n\d+',
    r"  i\d+n\d+ -\.- i\d+n\d+",
    r"  end",
    r"  classDef (prefill|decode) fill:#[0-9a-f]{6}",
    r"  class [in\d,]+ (prefill|decode)",
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_pictures_have_a_box_for_each_instance_and_node(every: dict[str, Drawn], name: str) -> None:
    _, _, found, _ = every[name]
    places = {(one.name, node) for one in found.instances for node in one.nodes}
    joins = len(places) - len(found.instances)
    [read] = pydot.graph_from_dot_data("".join(pool_dot_lines(found)))
    clusters = read.get_subgraphs()
    assert len(clusters) == len({node for _, node in places})
    assert sum(len(cluster.get_nodes()) for cluster in clusters) == len(places)
    assert len(read.get_edges()) == len(list(found.transfers())) + joins
    lines = "".join(pool_mermaid_lines(found)).splitlines()
    assert all(any(re.fullmatch(pattern, line) for pattern in MERMAID) for line in lines)
    assert sum(bool(re.fullmatch(MERMAID[2], line)) for line in lines) == len(places)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_are_text_and_nothing_else() -> None:
    """A group may be called anything; it stays inside its quotes."""
    name = 'a"];x<b>&'
    values = cluster_values(cluster=[cluster_values()["cluster"][0] | {"name": name}])
    problem = cluster_with(**values)
    _, _, found, checked = best(problem)
    assert checked.passed
    [read] = pydot.graph_from_dot_data("".join(pool_dot_lines(found)))
    assert len(read.get_subgraphs()) == len({gpu.node for gpu in found.gpus})
    assert all(any(re.fullmatch(p, line) for p in MERMAID) for line in "".join(pool_mermaid_lines(found)).splitlines())


def test_mermaid_refuses_what_it_cannot_draw(every: dict[str, Drawn]) -> None:
    _, _, found, _ = every["two zones"]
    many = list(found.transfers()) * 130
    with pytest.raises(ProblemError, match="use --format dot"):
        list(pool_mermaid_lines(replace(found, transfers=lambda: iter(many))))


def test_the_command(tmp_path: Path) -> None:
    out, file = tmp_path / "graph.json", tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(cluster_values(cluster=cluster_values()["cluster"][:1])))
    result = run("graph", str(file), "--out", str(out))
    assert result.returncode == 0 and result.stdout == "" and "all agree" in result.stderr
    assert "0.18 GiB of cache from prefill to decode, counted over network" in result.stderr
    assert json.loads(out.read_text())["graph"]["cache_link"] == "network"


def test_pools_that_break_rules_are_drawn_and_said_to() -> None:
    args = ("--prefill", "tp=1,count=1", "--decode", "tp=1,count=1,max_num_seqs=1", "--format", "dot")
    result = run("graph", EQUAL, *args)
    assert result.returncode == 0 and "do not keep every rule" in result.stderr and "digraph" in result.stdout


def test_pools_without_room_for_cache_or_without_nodes() -> None:
    """Whatever is judged is drawn, unless it has no place."""
    short = problem_with(
        hardware={"gpu": "l40s-48gb", "gpus_per_node": 4}, model="qwen3-32b", workload={"requests_per_s": 1}
    )
    one = FixedPool(tensor_parallel=1, count=1)
    _, answer, found, checked = given(short, one, one)
    assert not answer.feasible and checked.passed and {gpu.cache_room_bytes for gpu in found.gpus} == {0}
    few = problem_with(
        hardware={"nodes": 3, "gpus_per_node": 2}, model=EXPERTS, engine="sglang", workload={"requests_per_s": 1}
    )
    with pytest.raises(ProblemError, match="instances over whole nodes share none, and 3 nodes are too few"):
        given(few, FixedPool(1, 4, 1), FixedPool(1, 4, 1))


def test_any_draws_what_is_better(tmp_path: Path) -> None:
    """Of this example on two GPUs joint instances: the execution graph of a decode step, with its options."""
    file = tmp_path / "any.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(Path(EQUAL).read_text()) | {"serving": "any"}))
    result = run("graph", str(file), "--sequences", "2")
    assert result.returncode == 0 and json.loads(result.stdout)["graph"]["kind"] == "graph"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([EQUAL, "--format", "perfetto"], "json, graphml, dot or mermaid"),
        ([EQUAL, "--sequences", "4"], "--sequences"),
        ([EQUAL, "--modules", "--format", "dot"], "--modules"),
        ([EQUAL, "--tp", "1"], "decides joint instances"),
        ([EQUAL, "--prefill", "tp=2,count=1"], "no place"),
        ([EQUAL, "--prefill", "tp"], "--prefill"),
    ],
)
def test_bad_input(arguments: list[str], said: str) -> None:
    result = run("graph", *arguments)
    assert result.returncode == 2 and said in result.stderr and result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("cluster", [False, True])
def test_nothing_to_draw(cluster: bool, tmp_path: Path) -> None:
    impossible: dict[str, Any] = {"requirements": {"ttft_p99_ms": 1}}
    values = cluster_values(**impossible) if cluster else values_with(**impossible)
    file = tmp_path / "impossible.yaml"
    file.write_text(yaml.safe_dump(values))
    result = run("graph", str(file))
    assert result.returncode == 1 and "no strategy to draw" in result.stderr and result.stdout == ""
