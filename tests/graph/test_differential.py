"""Graphs of tiny models against what a person writes down: nodes, dependencies, bytes and milliseconds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from optimizer.catalog.constants import constants
from optimizer.results.graph import GraphNode, InstanceGraph
from optimizer.verify.uniform.recompute import candidate_of, metrics_of
from tests.graph.cases import EXPERTS, graph, problem, strategy


def only(instances: list[InstanceGraph]) -> InstanceGraph:
    [instance] = instances
    return instance


def by_id(instance: InstanceGraph) -> dict[str, GraphNode]:
    return {node.id: node for node in instance.nodes}


def arrows(instance: InstanceGraph) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in instance.edges}


def test_one_gpu_is_a_chain() -> None:
    instance = only(list(graph(problem(), strategy()).instances()))
    chain = [
        "s0/embedding/t0",
        "s0/l0/attention/t0",
        "s0/l0/ffn/t0",
        "s0/l1/attention/t0",
        "s0/l1/ffn/t0",
        "s0/head/t0",
    ]
    names = [f"r0/{name}" for name in [*chain, "token"]]
    assert [node.id for node in instance.nodes] == names
    assert arrows(instance) == set(pairwise(names))
    assert {node.gpus for node in instance.nodes} == {("node-0/gpu-0",)}


def test_two_shards_in_two_stages_by_hand() -> None:
    """TP2·PP2 on a node of four: 3 sequences run as two micro-batches of two."""
    instance = only(list(graph(problem(), strategy(2, 2)).instances()))
    wanted = {
        ("r0/s0/embedding/t0", "r0/s0/embedding/all_reduce"),
        ("r0/s0/embedding/t1", "r0/s0/embedding/all_reduce"),
        ("r0/s0/embedding/all_reduce", "r0/s0/l0/attention/t0"),
        ("r0/s0/embedding/all_reduce", "r0/s0/l0/attention/t1"),
        ("r0/s0/l0/attention/t0", "r0/s0/l0/attention/all_reduce"),
        ("r0/s0/l0/attention/t1", "r0/s0/l0/attention/all_reduce"),
        ("r0/s0/l0/attention/all_reduce", "r0/s0/l0/ffn/t0"),
        ("r0/s0/l0/attention/all_reduce", "r0/s0/l0/ffn/t1"),
        ("r0/s0/l0/ffn/t0", "r0/s0/l0/ffn/all_reduce"),
        ("r0/s0/l0/ffn/t1", "r0/s0/l0/ffn/all_reduce"),
        ("r0/s0/l0/ffn/all_reduce", "r0/s0/send"),
        ("r0/s0/send", "r0/s1/l1/attention/t0"),
        ("r0/s0/send", "r0/s1/l1/attention/t1"),
        ("r0/s1/l1/attention/t0", "r0/s1/l1/attention/all_reduce"),
        ("r0/s1/l1/attention/t1", "r0/s1/l1/attention/all_reduce"),
        ("r0/s1/l1/attention/all_reduce", "r0/s1/l1/ffn/t0"),
        ("r0/s1/l1/attention/all_reduce", "r0/s1/l1/ffn/t1"),
        ("r0/s1/l1/ffn/t0", "r0/s1/l1/ffn/all_reduce"),
        ("r0/s1/l1/ffn/t1", "r0/s1/l1/ffn/all_reduce"),
        ("r0/s1/l1/ffn/all_reduce", "r0/s1/head/t0"),
        ("r0/s1/l1/ffn/all_reduce", "r0/s1/head/t1"),
        ("r0/s1/head/t0", "r0/s1/head/gather"),
        ("r0/s1/head/t1", "r0/s1/head/gather"),
        ("r0/s1/head/gather", "r0/token"),
    }
    assert arrows(instance) == wanted
    nodes = by_id(instance)
    assert nodes["r0/s0/l0/ffn/t1"].gpus == ("node-0/gpu-1",)
    assert nodes["r0/s0/send"].gpus == ("node-0/gpu-0", "node-0/gpu-1", "node-0/gpu-2", "node-0/gpu-3")
    # Two sequences x 1,024 values x 2 bytes; hidden state and residual are sent.
    assert nodes["r0/s0/l0/ffn/all_reduce"].message_bytes == 4096 == nodes["r0/s0/l0/ffn/all_reduce"].sent_bytes_per_gpu
    assert (nodes["r0/s0/send"].message_bytes, nodes["r0/s0/send"].sent_bytes_per_gpu) == (8192, 4096)
    assert (nodes["r0/s0/send"].link, instance.micro_batches, instance.sequences_per_micro_batch) == ("nvlink", 2, 2)


def test_bytes_by_hand() -> None:
    nodes = by_id(only(list(graph(problem(), strategy(2)).instances())))
    # Query and output 1024 x 1024 each, key and value 1024 x 512 each, over two GPUs; one norm of 1,024 on both.
    assert nodes["r0/s0/l0/attention/t0"].weights_bytes == 2 * ((2 * 1024 * 1024 + 2 * 1024 * 512) // 2 + 1024)
    assert nodes["r0/s0/l0/ffn/t0"].weights_bytes == 2 * (3 * 1024 * 4096 // 2 + 1024)
    assert nodes["r0/s0/embedding/t0"].weights_bytes == 64_000 * 1024 * 2 // 2
    assert nodes["r0/s0/head/t0"].weights_bytes == 64_000 * 1024 * 2 // 2 + 1024 * 2
    # Tokens in whole blocks: key and value of two of the four KV heads.
    tokens = metrics_of(candidate_of(problem(), strategy(2))).kv_cache_tokens
    assert nodes["r0/s0/l1/attention/t1"].kv_cache_bytes == tokens * 2 * 2 * 128 * 2
    # Logits of 8 sequences are 3 MB; the activations of a step of 8,192 tokens, which are gone by then, are more: nothing is added.
    assert nodes["r0/s0/head/t0"].logits_bytes == 0


def test_milliseconds_by_hand() -> None:
    c = constants()
    instance = only(list(graph(problem(), strategy(), running=1).instances()))
    nodes = by_id(instance)
    bandwidth, rate = 1000e6, 1000e9  # bytes and FLOP per ms

    def dense(parameters: float, small: float = 0) -> float:
        """Bound by memory: its time and what the products add to it."""
        return 2 * (parameters + small) / (c.eta_bw * bandwidth) + c.overlap * 2 * parameters / (
            c.eta_decode_flops * rate
        )

    attention = dense(2 * 1024 * 1024 + 2 * 1024 * 512, 1024)
    cache = 110 * 2 * 4 * 128 * 2 / (c.eta_kv * bandwidth)  # 100 prompt tokens and half of 20
    length = nodes["r0/s0/l0/attention/t0"].end_ms[0] - nodes["r0/s0/l0/attention/t0"].start_ms[0]
    assert length == pytest.approx(attention + cache + c.t_layer / 2, abs=2e-6)
    ffn = dense(3 * 1024 * 4096, 1024)
    length = nodes["r0/s0/l0/ffn/t0"].end_ms[0] - nodes["r0/s0/l0/ffn/t0"].start_ms[0]
    assert length == pytest.approx(ffn + c.t_layer / 2, abs=2e-6)
    head = dense(64_000 * 1024) + c.t_step + c.t_sequence
    assert instance.decode_step_ms == pytest.approx(2 * (attention + cache + ffn + c.t_layer) + head, abs=2e-6)
    assert nodes["r0/token"].end_ms == (pytest.approx(instance.decode_step_ms),)


def test_a_send_takes_the_link_it_crosses() -> None:
    """Two stages of four GPUs stand on two nodes: 80 Gbit/s are 10 GB/s, and a message takes 5 µs."""
    send = by_id(only(list(graph(problem(), strategy(4, 2)).instances())))["r0/s0/send"]
    assert send.link == "network"
    assert send.end_ms[0] - send.start_ms[0] == pytest.approx(2 * 1024 * 4 / 10e6 + 0.005, abs=2e-6)
    slow = by_id(only(list(graph(problem(nvlink_gb_per_s=0), strategy(1, 2)).instances())))["r0/s0/send"]
    assert slow.link == "pcie"
    assert slow.end_ms[0] - slow.start_ms[0] == pytest.approx(
        2 * 1024 * 4 / 50e6 + constants().pcie_latency_us / 1000, abs=2e-6
    )


def test_micro_batches_follow_by_equal_shares_of_the_step() -> None:
    instance = only(list(graph(problem(), strategy(1, 2)).instances()))
    step = instance.decode_step_ms
    for node in instance.nodes:
        assert node.start_ms[1] - node.start_ms[0] == pytest.approx(step / 2, abs=1e-8)
    assert by_id(instance)["r0/token"].end_ms == (pytest.approx(step), pytest.approx(1.5 * step))


def test_experts_of_coupled_replicas() -> None:
    """EP4 over two replicas of TP2: one dense layer, then two whose tokens travel to the experts and back."""
    instance = only(list(graph(problem(EXPERTS), strategy(2, 1, 2, 4, total=3)).instances()))
    nodes = by_id(instance)
    assert instance.replicas == (0, 1)
    assert "replica-0/s0/l0/dispatch" not in nodes
    dispatch = nodes["replica-0/s0/l1/dispatch"]
    assert dispatch.gpus == tuple(f"node-0/gpu-{i}" for i in range(4)) and dispatch.replica is None
    # Three sequences, each to two experts, 1,024 values of 1.5 bytes: what a GPU has for others, three quarters of which leave it.
    assert (dispatch.message_bytes, dispatch.sent_bytes_per_gpu) == (3 * 2 * 1536, 3 * 2 * 1536 * 3 // 4)
    held = [nodes[f"r{replica}/s0/l1/experts/t{shard}"].experts for replica in (0, 1) for shard in (0, 1)]
    assert held == [(0, 2, 1), (2, 2, 1), (4, 2, 1), (6, 2, 1)]
    before = {source for source, target in arrows(instance) if target == "replica-0/s0/l1/dispatch"}
    assert before == {"r0/s0/l1/attention/all_reduce", "r1/s0/l1/attention/all_reduce"}
    sliced = by_id(next(graph(problem(EXPERTS), strategy(4, total=3)).instances()))
    assert sliced["r0/s0/l2/experts/t3"].experts == (0, 8, 4)
