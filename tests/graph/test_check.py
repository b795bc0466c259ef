"""The independent check: true graphs pass in every shape, and every kind of lie is found."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from optimizer import Fixed, check, problem_from_dict
from optimizer.results.graph import Edge, Graph, GraphNode, InstanceGraph
from optimizer.verify.graph import verify_graph
from tests.generate import random_problem
from tests.graph.cases import EXPERTS, graph, problem, random_strategy, strategy


@pytest.mark.parametrize("seed", range(24))
def test_true_graphs_pass(seed: int) -> None:
    rng = random.Random(seed)
    stated = problem_from_dict(random_problem(seed))
    for _ in range(2):
        chosen = random_strategy(stated, rng)
        found = verify_graph(stated, graph(stated, chosen, rng.choice([1, 2, 3, 25])))
        assert found.passed, (chosen, found.mismatches[:5])
        assert found.checks > 10 * found.nodes


@pytest.mark.parametrize(
    ("model", "tp", "pp", "dp", "ep"),
    [
        ("mixtral-8x7b", 2, 3, 1, 2),
        ("gpt-oss-120b", 2, 1, 2, 4),
        ("deepseek-v3", 8, 7, 1, 8),
        ("qwen3-next-80b-a3b", 2, 5, 1, 1),
        ("llama3-70b", 8, 3, 2, 1),
        ("gemma3-27b", 2, 3, 1, 1),
    ],
)
def test_real_models_pass(model: str, tp: int, pp: int, dp: int, ep: int) -> None:
    stated = problem(model, gpu="h100-sxm-80gb", nodes=8)
    layers = stated.model.layers
    chosen = strategy(tp, pp, dp, ep, total=layers)
    found = verify_graph(stated, graph(stated, chosen, 10))
    assert found.passed, found.mismatches[:5]


@pytest.mark.parametrize("model", ["deepseek-v3", "phi-4", "qwen3.5-27b-fp8"])
def test_weights_as_published_pass(model: str) -> None:
    """What the allocator leaves behind tensors is counted once, not for both halves of a layer."""
    stated = problem(model, gpu="h200-sxm-141gb", nodes=8)
    chosen = replace(strategy(2, total=stated.model.layers), weight_precision=stated.model.native_weight_format)
    found = verify_graph(stated, graph(stated, chosen, 3))
    assert found.passed, found.mismatches[:5]


def test_a_vision_tower_is_loaded_on_every_stage() -> None:
    """vLLM and SGLang build it whatever the stage (``Qwen3VLForConditionalGeneration.__init__``); no module of a later one has it."""
    stated = problem("gemma3-27b", gpu="h100-sxm-80gb", nodes=1)
    found = graph(stated, strategy(2, 3, total=stated.model.layers), 3)
    (one,) = found.instances()
    towers = [gpu.rest_bytes.get("vision tower") for gpu in one.gpus]
    assert towers == [None] * 2 + [-(-stated.model.vision_bytes // 2)] * 4
    lie = replace(one.gpus[2], rest_bytes={**one.gpus[2].rest_bytes, "vision tower": 0})
    wrong = replace(found, instances=lambda: iter([replace(one, gpus=(*one.gpus[:2], lie, *one.gpus[3:]))]))
    assert verify_graph(stated, found).passed and not verify_graph(stated, wrong).passed


def test_the_schedule_ends_with_the_answers_decode_step() -> None:
    """The graph of an answer, at the median number of sequences in progress, takes the answer's own round."""
    stated = problem(gpu="l40s-48gb", nvlink_gb_per_s=0)
    for fixed in (Fixed(1, 1, 2), Fixed(1, 2, 1), Fixed(2, 2, 1)):
        answer = check(stated, fixed, repairs=False)
        assert answer.strategy is not None and answer.breakdown is not None and answer.metrics is not None
        running = answer.breakdown["sequences_in_progress"]
        assert running == min(answer.metrics.concurrency_p50 or running, answer.strategy.max_num_seqs)
        for instance in graph(stated, answer.strategy, running).instances():
            assert instance.decode_step_ms == pytest.approx(answer.breakdown["round_ms"], abs=2e-6)
            tokens = [node for node in instance.nodes if node.kind == "token"]
            assert [node.end_ms[0] for node in tokens] == [pytest.approx(answer.breakdown["round_ms"], abs=2e-6)]
            stages = answer.metrics.memory_bytes_per_stage
            for gpu in instance.gpus:
                held = sum(node.memory_bytes for node in instance.nodes if node.gpus == (gpu.name,))
                assert held + sum(gpu.rest_bytes.values()) == stages[gpu.stage]


def test_no_gpu_is_used_twice_by_two_instances() -> None:
    stated = problem()
    true = graph(stated, strategy(2, 1, 4))
    first = next(true.instances())

    def twice() -> object:
        for instance in true.instances():
            yield (
                instance
                if instance.name != "replica-1"
                else replace(first, name="replica-1", replicas=(1,), nodes=(), edges=())
            )

    found = verify_graph(stated, replace(true, instances=twice))  # type: ignore[arg-type]
    assert not found.passed
    assert any("GPUs" in mismatch.what for mismatch in found.mismatches)


Lie = Callable[[InstanceGraph], InstanceGraph]


def node_lie(name: str, **changes: object) -> Lie:
    """The first node whose name ends so, changed."""

    def lie(true: InstanceGraph) -> InstanceGraph:
        at = next(i for i, node in enumerate(true.nodes) if node.id.endswith(name))
        changed = replace(true.nodes[at], **changes)  # type: ignore[arg-type]
        return replace(true, nodes=(*true.nodes[:at], changed, *true.nodes[at + 1 :]))

    return lie


def amount_lie(name: str, field: str, by: float) -> Lie:
    def lie(true: InstanceGraph) -> InstanceGraph:
        node = next(node for node in true.nodes if node.id.endswith(name))
        return node_lie(name, **{field: getattr(node, field) + by})(true)

    return lie


def time_lie(name: str, field: str, by: float) -> Lie:
    def lie(true: InstanceGraph) -> InstanceGraph:
        node = next(node for node in true.nodes if node.id.endswith(name))
        return node_lie(name, **{field: tuple(value + by for value in getattr(node, field))})(true)

    return lie


def without_node(name: str) -> Lie:
    def lie(true: InstanceGraph) -> InstanceGraph:
        gone = next(node for node in true.nodes if node.id.endswith(name)).id
        left = tuple(edge for edge in true.edges if gone not in (edge.source, edge.target))
        return replace(true, nodes=tuple(node for node in true.nodes if node.id != gone), edges=left)

    return lie


def twice(name: str, **changes: object) -> Lie:
    def lie(true: InstanceGraph) -> InstanceGraph:
        node: GraphNode = next(node for node in true.nodes if node.id.endswith(name))
        return replace(true, nodes=(*true.nodes, replace(node, **{"id": f"{node.id}-again", **changes})))  # type: ignore[arg-type]

    return lie


def without_edge(source: str, target: str) -> Lie:
    def lie(true: InstanceGraph) -> InstanceGraph:
        left = tuple(e for e in true.edges if not (e.source.endswith(source) and e.target.endswith(target)))
        assert len(left) < len(true.edges)
        return replace(true, edges=left)

    return lie


def edge_more(source: str, target: str, gpu: str) -> Lie:
    def lie(true: InstanceGraph) -> InstanceGraph:
        return replace(true, edges=(*true.edges, Edge(source, target, gpu)))

    return lie


def swapped(first: str, second: str) -> Lie:
    """Two nodes change GPUs."""

    def lie(true: InstanceGraph) -> InstanceGraph:
        a, b = (next(node for node in true.nodes if node.id.endswith(name)) for name in (first, second))
        return node_lie(second, gpus=a.gpus)(node_lie(first, gpus=b.gpus)(true))

    return lie


def gpu_lie(**changes: object) -> Lie:
    def lie(true: InstanceGraph) -> InstanceGraph:
        return replace(true, gpus=(replace(true.gpus[0], **changes), *true.gpus[1:]))  # type: ignore[arg-type]

    return lie


def renamed(old: str, new: str) -> Lie:
    """A GPU moves everywhere at once, as a wrong placement would have it."""

    def gpus(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    def lie(true: InstanceGraph) -> InstanceGraph:
        return replace(
            true,
            gpus=tuple(replace(gpu, name=gpus((gpu.name,))[0]) for gpu in true.gpus),
            nodes=tuple(replace(node, gpus=gpus(node.gpus)) for node in true.nodes),
            edges=tuple(replace(edge, gpu=gpus((edge.gpu,))[0]) for edge in true.edges),
        )

    return lie


LIES: dict[str, Lie] = {
    "layer left out": without_node("l2/experts/t1"),
    "embedding left out": without_node("embedding/t0"),
    "all-reduce left out": without_node("l1/attention/all_reduce"),
    "send left out": without_node("r0/s0/send"),
    "layer twice": twice("l1/attention/t0"),
    "layer of another stage": twice("l0/ffn/t0", stage=1),
    "shard that does not exist": node_lie("l0/ffn/t1", shard=2),
    "layer on the wrong GPU": node_lie("l0/ffn/t1", gpus=("node-0/gpu-0",)),
    "shards swapped": swapped("l0/ffn/t0", "l0/ffn/t1"),
    "dependency left out": without_edge("l0/ffn/t1", "l0/ffn/all_reduce"),
    "nothing waits for the send": without_edge("s0/send", "l2/attention/t0"),
    "cycle": edge_more("r0/s1/head/t0", "r0/s1/l2/attention/t0", "node-0/gpu-2"),
    "dependency across GPUs": edge_more("r0/s0/l0/attention/t0", "r0/s0/l0/ffn/t1", "node-0/gpu-0"),
    "dependency on nothing": edge_more("r0/nowhere", "r0/s0/l0/ffn/t1", "node-0/gpu-1"),
    "weights": amount_lie("l1/experts/t0", "weights_bytes", 3),
    "weights moved between modules": lambda true: amount_lie("l0/ffn/t0", "weights_bytes", 9)(
        amount_lie("l0/attention/t0", "weights_bytes", -9)(true)
    ),
    "cache": amount_lie("l1/attention/t0", "kv_cache_bytes", 1_000),
    "logits": amount_lie("head/t1", "logits_bytes", 1),
    "message": amount_lie("l1/experts/all_reduce", "message_bytes", 2),
    "sent": amount_lie("s0/send", "sent_bytes_per_gpu", 1),
    "link": node_lie("s0/send", link="network"),
    "no link": node_lie("l1/experts/all_reduce", link=None),
    "experts": node_lie("l1/experts/t0", experts=(0, 7, 2)),
    "no experts": node_lie("l1/experts/t0", experts=None),
    "slices": node_lie("l1/experts/t0", experts=(0, 8, 1)),
    "longer": time_lie("l0/attention/t0", "end_ms", 0.0001),
    "earlier": time_lie("l2/attention/t0", "start_ms", -0.0001),
    "moved": lambda true: time_lie("l1/experts/t1", "start_ms", 0.01)(time_lie("l1/experts/t1", "end_ms", 0.01)(true)),
    "token": time_lie("token", "end_ms", 0.001),
    "one pass too few": node_lie("l0/ffn/t0", start_ms=(0.0,), end_ms=(0.0,)),
    "step": lambda true: replace(true, decode_step_ms=true.decode_step_ms * 0.9),
    "micro-batches": lambda true: replace(true, micro_batches=1),
    "batch": lambda true: replace(true, sequences_per_micro_batch=1),
    "memory of the GPU": gpu_lie(memory_bytes=1),
    "engine": gpu_lie(rest_bytes={"engine": 0}),
    "node": gpu_lie(node="node-1"),
    "domain": gpu_lie(domain="node-1/domain-0"),
    "place": gpu_lie(shard=1),
    "GPU that does not exist": renamed("node-0/gpu-0", "node-0/gpu-9"),
    "GPU on another node": renamed("node-0/gpu-0", "node-1/gpu-0"),
    "two replicas": lambda true: replace(true, replicas=(0, 1)),
    "strategy": lambda true: replace(true, strategy=replace(true.strategy, layers_per_stage=(1, 2))),
    "slots": lambda true: replace(true, strategy=replace(true.strategy, max_num_seqs=9)),
    "type of the GPU": gpu_lie(type="other-gpu"),
    "instance": node_lie("l0/ffn/t0", instance="replica-9"),
}


@pytest.fixture(scope="module")
def true_graph() -> tuple[object, Graph]:
    stated = problem(EXPERTS)
    return stated, graph(stated, strategy(2, 2, layers=(2, 1)))


@pytest.mark.parametrize("name", LIES)
def test_every_lie_is_found(name: str, true_graph: tuple[object, Graph]) -> None:
    stated, true = true_graph
    [instance] = true.instances()
    assert verify_graph(stated, true).passed  # type: ignore[arg-type]
    lied = LIES[name](instance)
    assert lied != instance
    found = verify_graph(stated, replace(true, instances=lambda: iter([lied])))  # type: ignore[arg-type]
    assert not found.passed and found.mismatches


@pytest.mark.parametrize("count", [0, 2])
def test_instances_missing_or_too_many(count: int, true_graph: tuple[object, Graph]) -> None:
    stated, true = true_graph
    [instance] = true.instances()
    assert not verify_graph(stated, replace(true, instances=lambda: iter([instance] * count))).passed  # type: ignore[arg-type]


def test_placement_notes_say_where_plan_and_placement_differ() -> None:
    """Coupled replicas in two stages: the experts of a stage stand on two nodes, which the cost model does not count."""
    stated = problem(EXPERTS)
    found = graph(stated, strategy(1, 2, 4, 4, total=3))
    assert verify_graph(stated, found).passed
    assert any("all-to-all between coupled replicas crosses a slower link" in note for note in found.notes)
