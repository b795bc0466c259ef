"""``optimizer graph`` of joint instances beside pools: what is drawn, read back by other readers, and what its check finds wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx
import pydot
import pytest

from optimizer.facts.problem import Problem
from optimizer.graph.beside import build_beside_graph
from optimizer.questions.check import check
from optimizer.questions.solve import solve
from optimizer.render.beside_graph_data import beside_graphml_lines, beside_json_lines
from optimizer.render.beside_graph_pictures import beside_dot_lines, beside_mermaid_lines
from optimizer.results.answer import Fixed
from optimizer.results.beside_graph import BesideGraph
from optimizer.results.graph import GraphCheck
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.verify.pools.graph_beside import verify_beside_graph
from tests.command import run
from tests.graph.cases import EXPERTS
from tests.pools.mixes import NEAR_SATURATION, ONLY_TOGETHER, TWO_NODES
from tests.pools.problems import problem_with, values_with

Drawn = tuple[Problem, SideBySideAnswer, BesideGraph, GraphCheck]


def drawn(problem: Problem, answer: Any) -> Drawn:
    assert isinstance(answer, SideBySideAnswer)
    found = build_beside_graph(problem, answer)
    return problem, answer, found, verify_beside_graph(problem, answer, found)


def best(changes: dict[str, Any]) -> Drawn:
    problem = problem_with(**changes)
    return drawn(problem, solve(problem, repairs=False))


def given(problem: Problem, fixed: Fixed, pools: FixedPools, share: float) -> Drawn:
    return drawn(problem, check(problem, fixed, pools=pools, share=share, repairs=False))


def pairs() -> Drawn:
    """A node of two NVLink pairs: the joint instance has a GPU of one, decode with TP2 the other pair."""
    problem = problem_with(serving="any", hardware={"gpus_per_node": 4, "nvlink_domain_gpus": 2})
    return given(
        problem,
        Fixed(tensor_parallel=1, data_parallel=1),
        FixedPools(FixedPool(1, None, 1), FixedPool(2, None, 1)),
        0.2,
    )


def stages() -> Drawn:
    """Two stages of TP2 over two nodes beside 1P1D on two more."""
    hardware = {"nodes": 4, "gpus_per_node": 2, "internode_gbit_per_s": 400}
    problem = problem_with(serving="any", hardware=hardware, workload={"requests_per_s": 10})
    fixed = Fixed(tensor_parallel=2, pipeline_parallel=2, data_parallel=1)
    return given(problem, fixed, FixedPools(FixedPool(2, None, 1), FixedPool(2, None, 1)), 0.4)


def experts() -> Drawn:
    """Ranks of a model with experts over two nodes, beside pools of TP1."""
    work = {"prompt_tokens": 900, "prompt_tokens_p99": 2500, "output_tokens": 100, "requests_per_s": 6}
    hardware = {"nodes": 4, "gpus_per_node": 2}
    problem = problem_with(serving="any", hardware=hardware, model=EXPERTS, workload=work, engine="sglang")
    fixed = Fixed(tensor_parallel=1, pipeline_parallel=1, data_parallel=4, expert_parallel=4)
    return given(problem, fixed, FixedPools(FixedPool(1, None, 1), FixedPool(1, None, 1)), 0.5)


CASES: dict[str, Callable[[], Drawn]] = {
    "one node": lambda: best(NEAR_SATURATION),
    "three nodes": lambda: best(TWO_NODES),
    "pairs": pairs,
    "stages": stages,
    "experts": experts,
}


@pytest.fixture(scope="module")
def every() -> dict[str, Drawn]:
    return {name: make() for name, make in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_the_check_agrees(every: dict[str, Drawn], name: str) -> None:
    problem, answer, found, checked = every[name]
    assert checked.passed and not checked.mismatches and checked.checks > 80
    names = [gpu.name for gpu in (*found.gpus, *found.pools.gpus)]
    assert len(set(names)) == len(names) == answer.gpus
    sent = sum(one.requests_per_s for one in found.instances)
    assert sent == pytest.approx(problem.workload.requests_per_s * answer.share)
    through = sum(edge.requests_per_s for edge in found.pools.transfers())
    assert sent + through == pytest.approx(problem.workload.requests_per_s)


def test_three_nodes_by_hand(every: dict[str, Drawn]) -> None:
    """22 requests/s of 4,000/200 tokens: three tenths at the joint instance, 6.6 · 4,200 tokens/s; 32 layers of 4,096 at TP2."""
    _, _, found, _ = every["three nodes"]
    [one] = found.instances
    assert one.nodes == ("node-0",) and one.tokens_per_s_per_rank == pytest.approx(6.6 * 4200)
    assert {edge.bytes_per_token for edge in found.tensor} == {2 * 32 * (4096 * 2) * 2 // 2}
    assert [edge.bytes_per_s for edge in found.tensor] == pytest.approx([524_288 * 27_720] * 2)
    assert {node for part in found.pools.instances for node in part.nodes} == {"node-1", "node-2"}
    [crossing] = found.pools.transfers()
    assert crossing.requests_per_s == pytest.approx(15.4) and crossing.link == "network" and not found.sends


def test_one_node_and_pairs_by_hand(every: dict[str, Drawn]) -> None:
    _, _, found, _ = every["one node"]
    assert [gpu.name for gpu in found.gpus] == ["node-0/gpu-0"]
    assert [gpu.name for gpu in found.pools.gpus] == [f"node-0/gpu-{number}" for number in (1, 2, 3, 4)]
    _, _, found, _ = every["pairs"]
    decode = [gpu for gpu in found.pools.gpus if gpu.pool == "decode"]
    assert len({gpu.domain for gpu in decode}) == 1 and {edge.link for edge in found.pools.tensor} == {"nvlink"}


def test_stages_by_hand(every: dict[str, Drawn]) -> None:
    """Each TP rank of a stage sends hidden state and residual, 4,096 numbers of 16 bit each; all-reduces are of a stage's layers."""
    _, answer, found, _ = every["stages"]
    assert {(edge.source, edge.target) for edge in found.sends} == {
        ("node-0/gpu-0", "node-1/gpu-0"),
        ("node-0/gpu-1", "node-1/gpu-1"),
    }
    assert {edge.bytes_per_token for edge in found.sends} == {16_384} and {edge.link for edge in found.sends} == {
        "network"
    }
    assert answer.joint.strategy is not None and sum(answer.joint.strategy.layers_per_stage) == 32
    sizes = {layers * 2 * (4096 * 2) * 2 // 2 for layers in answer.joint.strategy.layers_per_stage}
    assert {edge.bytes_per_token for edge in found.tensor} == sizes
    first, last = (next(gpu for gpu in found.gpus if gpu.stage == stage) for stage in (0, 1))
    assert first.weights_bytes > 0 and last.weights_bytes > 0
    assert found.instances[0].tokens_per_s_per_rank == pytest.approx(4 * 1700)


def test_experts_by_hand(every: dict[str, Drawn]) -> None:
    """As of pools: two layers with experts, 2 copies of a token at most (over two nodes), 3/4 of them to other GPUs, both ways."""
    from optimizer.catalog.constants import constants

    _, _, found, _ = every["experts"]
    assert found.instances[0].ranks == 4 and len(found.instances[0].nodes) == 2
    assert found.instances[0].exchange_bytes_per_token == 2 * 2 * 2 * 1024 * constants().exchange_bytes * 3 / 4


def broken(found: BesideGraph) -> Iterator[tuple[str, BesideGraph]]:
    """The graph with one thing wrong, and a word of what the check says."""
    gpus, instances, pools = found.gpus, found.instances, found.pools
    first, one = gpus[0], instances[0]
    theirs = pools.gpus[0]
    yield "weights", replace(found, gpus=(replace(first, weights_bytes=first.weights_bytes + 1), *gpus[1:]))
    yield "GPUs of one part", replace(found, gpus=(replace(first, name=theirs.name, node=theirs.node), *gpus[1:]))
    yield "rank order", replace(found, gpus=(replace(first, shard=1), *gpus[1:]))
    yield "a GPU of the nodes", replace(found, gpus=(replace(first, name="node-9/gpu-0"), *gpus[1:]))
    yield "domains", replace(found, gpus=(replace(first, domain="elsewhere"), *gpus[1:]))
    yield "share", replace(found, share=found.share / 2)
    yield "requests per second", replace(found, instances=(replace(one, requests_per_s=1.0), *instances[1:]))
    yield "tokens per second", replace(found, instances=(replace(one, tokens_per_s_per_rank=1.0), *instances[1:]))
    yield "exchanged", replace(found, instances=(replace(one, exchange_bytes_per_token=5), *instances[1:]))
    yield "joint instances", replace(found, instances=())
    yield "both parts", replace(found, label="another")
    yield "weights", replace(found, pools=replace(pools, gpus=(replace(theirs, weights_bytes=1), *pools.gpus[1:])))
    yield "transfer_ms", replace(found, pools=replace(pools, transfer_ms=pools.transfer_ms + 1))
    if found.tensor:
        edge = found.tensor[0]
        yield "bytes of a token", replace(found, tensor=(replace(edge, bytes_per_token=1), *found.tensor[1:]))
        yield "TP rings", replace(found, tensor=found.tensor[1:])
        yield "link", replace(found, tensor=(replace(edge, link="pcie"), *found.tensor[1:]))
    if found.sends:
        send = found.sends[0]
        yield "bytes per second", replace(found, sends=(replace(send, bytes_per_s=1.0), *found.sends[1:]))
        yield "sends of stages", replace(found, sends=found.sends[1:])


@pytest.mark.parametrize("name", ["one node", "three nodes", "stages"])
def test_what_is_wrong_is_found(every: dict[str, Drawn], name: str) -> None:
    problem, answer, found, _ = every[name]
    for word, wrong in broken(found):
        checked = verify_beside_graph(problem, answer, wrong)
        assert not checked.passed, word
        assert any(word in f"{one.what} {one.expected}" for one in checked.mismatches), (word, checked.mismatches)


@pytest.mark.parametrize("name", ["one node", "stages"])
def test_other_readers_read_every_format(every: dict[str, Drawn], name: str) -> None:
    _, answer, found, checked = every[name]
    data = json.loads("".join(beside_json_lines(found, checked)))
    assert data["graph"]["kind"] == "side-by-side-graph" and data["graph"]["joint_share"] == answer.share
    by_json = networkx.node_link_graph(data, edges="edges")
    by_graphml = networkx.read_graphml(io.StringIO("".join(beside_graphml_lines(found))))
    assert set(by_json.nodes) == set(by_graphml.nodes) and set(by_json.edges) == set(by_graphml.edges)
    pools = {one["pool"] for _, one in by_json.nodes(data=True)}
    assert pools == {"joint", "prefill", "decode"}
    kinds = {edge["kind"] for *_, edge in by_json.edges(data=True)}
    assert {"holds", "cache"} <= kinds and ("pipeline_parallel" in kinds) == bool(found.sends)
    [picture] = pydot.graph_from_dot_data("".join(beside_dot_lines(found)))
    boxes = [node for part in picture.get_subgraphs() for node in part.get_nodes()]
    several = sum(len(one.nodes) for one in (*found.instances, *found.pools.instances))
    assert len(boxes) == several
    chart = "".join(beside_mermaid_lines(found))
    assert "class j0n0" in chart and "classDef joint" in chart and "replica-0: TP" in chart


def test_the_command_draws_both(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(**ONLY_TOGETHER)))
    found = run("graph", str(path), "--format", "dot")
    assert found.returncode == 0 and "replica-0: TP1·PP1" in found.stdout and "prefill-0: TP1" in found.stdout
    assert "20% of the requests go to 1 joint instance on 1 GPU" in found.stderr and "all agree" in found.stderr
    own = ("--tp", "1", "--dp", "1", "--prefill", "tp=1,count=1", "--decode", "tp=1,count=1", "--share", "0.5")
    drawn_broken = run("graph", str(path), *own)
    assert drawn_broken.returncode == 0 and json.loads(drawn_broken.stdout)["graph"]["joint_share"] == 0.5
    assert "Not every rule of the problem is kept" in drawn_broken.stderr
    step = run("graph", str(path), "--sequences", "4")
    assert step.returncode == 2 and "--sequences" in step.stderr
