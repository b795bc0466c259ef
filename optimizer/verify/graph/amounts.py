"""Are the volumes and the memory of a graph those of the model? Whole bytes, re-derived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.results.graph import MODULES, GraphNode, InstanceGraph
from optimizer.verify.common.arithmetic import ceil_ratio
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.graph.expected import Step
from optimizer.verify.graph.modules import Modules


def check_amounts(
    ledger: CheckLedger,
    problem: Problem,
    strategy: Strategy,
    instance: InstanceGraph,
    steps: list[tuple[Step, GraphNode]],
    modules: Sequence[Modules],
) -> None:
    """Bytes of every node, and of every GPU in all.

    Args:
        modules: by stage, those of the hardware it stands on.
    """
    for step, node in steps:
        if node.kind in MODULES:
            _module(ledger, strategy, node, modules[node.stage])
        elif node.kind != "token":
            message, sent = _volume(problem, strategy, step, modules[node.stage], instance.sequences_per_micro_batch)
            ledger.same(f"{node.id} message bytes", message, node.message_bytes)
            ledger.same(f"{node.id} sent bytes", sent, node.sent_bytes_per_gpu)
    _experts(ledger, problem, strategy, instance)
    held: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for node in instance.nodes:
        if node.kind in MODULES:
            held[node.gpus[0]][0] += node.weights_bytes
            held[node.gpus[0]][1] += node.memory_bytes
    for gpu in instance.gpus:
        if not ledger.that(f"{gpu.name} stage", 0 <= gpu.stage < len(modules), f"0 to {len(modules) - 1}", gpu.stage):
            continue
        stage = modules[gpu.stage].stages[gpu.stage]
        tower = modules[gpu.stage].tower(gpu.stage)
        ledger.same(f"{gpu.name} weights", stage.weights_bytes - tower, held[gpu.name][0])
        rest = sum(gpu.rest_bytes.values())
        ledger.same(f"{gpu.name} bytes beside modules", stage.fixed_bytes + tower, rest)
        slots, tokens = strategy.max_num_seqs, modules[gpu.stage].cache_tokens
        cache = tokens * stage.token_bytes if stage.paged else slots * stage.sequence_bytes
        total = stage.beside_cache(slots) + cache
        ledger.same(f"{gpu.name} memory in use", total, held[gpu.name][1] + rest)
        engine = modules[gpu.stage].engine_bytes
        ledger.same(f"{gpu.name} engine bytes", engine, gpu.rest_bytes.get("engine"))


def _module(ledger: CheckLedger, strategy: Strategy, node: GraphNode, modules: Modules) -> None:
    expected = modules.expected(node.kind, node.stage, node.layer)
    ledger.that(
        f"{node.id} weights",
        _near(expected.weights_bytes, node.weights_bytes, 2),
        expected.weights_bytes,
        node.weights_bytes,
    )
    # Each sequence's cache is rounded up to a whole byte once for the stage.
    slack = strategy.max_num_seqs + 1
    ledger.that(
        f"{node.id} cache",
        _near(expected.kv_cache_bytes, node.kv_cache_bytes, slack),
        expected.kv_cache_bytes,
        node.kv_cache_bytes,
    )
    ledger.same(f"{node.id} logits", expected.logits_bytes, node.logits_bytes)


def _near(exact: Fraction, claimed: int, slack: int) -> bool:
    return abs(exact - claimed) <= slack


def _volume(problem: Problem, strategy: Strategy, step: Step, modules: Modules, batch: int) -> tuple[int, int]:
    """(message bytes, bytes that leave the busiest GPU) of a collective or send."""
    model, t = problem.model, strategy.tensor_parallel
    vector = 2 * model.hidden_size * batch
    if step.kind == "send":
        return 2 * vector, ceil_ratio(2 * vector, t)
    if step.kind == "gather":
        logits = ceil_ratio(batch * ceil_ratio(model.vocabulary, 64) * 64 * 2, t)
        return logits, logits
    if step.kind == "all_to_all" and step.layer is not None:
        size, group = modules.exchange_bytes(step.layer), modules.expert_gpus
        return size, ceil_ratio(size * (group - 1), group)
    return vector, ceil_ratio(2 * (t - 1) * vector, t)


def _experts(ledger: CheckLedger, problem: Problem, strategy: Strategy, instance: InstanceGraph) -> None:
    """Every routed expert of every layer is held once in whole: all slices of it, by all coupled replicas together."""
    model, ep = problem.model, strategy.expert_parallel
    slices = max(strategy.tensor_parallel, ep) * strategy.expert_slice_ranks // ep
    # Coupled replicas hold one set together; a replica alone holds its own.
    seen: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for node in instance.nodes:
        if node.kind == "experts" and node.layer is not None:
            if not ledger.that(f"{node.id} experts", node.experts is not None, "the experts it holds", None):
                continue
            assert node.experts is not None
            first, count, cut = node.experts
            ledger.same(f"{node.id} slices", slices, cut)
            for expert in range(first, first + count):
                seen[node.layer][expert] += 1
    for layer, found in seen.items():
        wanted = dict.fromkeys(range(model.kinds[model.kind_of_layer[layer]].experts), slices)
        ledger.same(f"experts of layer {layer}", wanted, dict(sorted(found.items())))
