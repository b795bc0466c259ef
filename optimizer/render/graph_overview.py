"""The execution graph drawn for people: one box per pipeline stage of each replica, its modules summed up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.results.graph import MODULES, GraphNode, InstanceGraph


@dataclass(frozen=True, slots=True)
class Box:
    """One stage of one replica; ``lines`` are to be read one under the other."""

    id: str
    replica: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """What one box hands to another."""

    source: str
    target: str
    words: str
    both_ways: bool = False


def overview(instance: InstanceGraph) -> tuple[list[Box], list[Arrow]]:
    """Boxes in order of replica and stage, and the sends and exchanges between them."""
    boxes: list[Box] = []
    nodes: dict[tuple[int, int], list[GraphNode]] = {}
    for node in instance.nodes:
        if node.replica is not None and node.kind not in ("send", "token"):
            nodes.setdefault((node.replica, node.stage), []).append(node)
    for (replica, stage), held in sorted(nodes.items()):
        boxes.append(Box(_id(replica, stage), replica, tuple(_lines(instance, replica, stage, held))))
    return boxes, [*_sends(instance), *_exchanges(instance)]


def _lines(instance: InstanceGraph, replica: int, stage: int, held: list[GraphNode]) -> Iterator[str]:
    gpus = [gpu for gpu in instance.gpus if (gpu.replica, gpu.stage) == (replica, stage)]
    layers = sorted({node.layer for node in held if node.layer is not None})
    yield f"stage {stage}"
    kind = f" ({gpus[0].type})" if len({gpu.type for gpu in instance.gpus}) > 1 else ""
    yield ", ".join(gpu.name for gpu in gpus) + kind
    parts = ["embedding"] if any(node.kind == "embedding" for node in held) else []
    if layers:
        parts.append(f"layers {layers[0]}–{layers[-1]}")
    parts += ["head"] if any(node.kind == "head" for node in held) else []
    yield ", ".join(parts)
    first = gpus[0]
    modules = sum(node.memory_bytes for node in held if node.kind in MODULES and node.shard == first.shard)
    total = modules + sum(first.rest_bytes.values())
    yield f"{amount(total, 'bytes')} of {amount(first.memory_bytes, 'bytes')} per GPU"
    start, end = min(node.start_ms[0] for node in held), max(node.end_ms[0] for node in held)
    yield f"{milliseconds(start)} to {milliseconds(end)}"
    reduces = [node for node in held if node.kind == "all_reduce" and node.layer is not None]
    if reduces:
        yield f"{len(reduces)} all-reduces of {reduces[0].message_bytes:,} bytes over {reduces[0].link}"


def _sends(instance: InstanceGraph) -> Iterator[Arrow]:
    for node in instance.nodes:
        if node.kind == "send" and node.replica is not None:
            words = f"{node.message_bytes:,} bytes over {node.link}"
            yield Arrow(_id(node.replica, node.stage), _id(node.replica, node.stage + 1), words)


def _exchanges(instance: InstanceGraph) -> Iterator[Arrow]:
    """All-to-alls as one arrow from each replica to the next, both ways, with how many there are."""
    by_stage: dict[int, list[GraphNode]] = {}
    for node in instance.nodes:
        if node.kind == "all_to_all":
            by_stage.setdefault(node.stage, []).append(node)
    for stage, found in sorted(by_stage.items()):
        words = f"{len(found)} all-to-alls of {found[0].message_bytes:,} bytes over {found[0].link}"
        for here, there in zip(instance.replicas, instance.replicas[1:], strict=False):
            yield Arrow(_id(here, stage), _id(there, stage), words, both_ways=True)


def _id(replica: int, stage: int) -> str:
    return f"r{replica}s{stage}"
