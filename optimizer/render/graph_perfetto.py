"""The schedule as a Chrome JSON trace, which ui.perfetto.dev and chrome://tracing open: one track per GPU.

Format: "Trace Event Format", complete events (``ph`` X, times in microseconds), metadata (M) and flows (s, f).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from optimizer.render.graph_json import dumps
from optimizer.results.graph import COMMUNICATION, MODULES, Graph, GraphNode, InstanceGraph

REPLICAS = 0
"""Process number of the tracks that show whole passes; nodes count from 1."""
TRACKS_PER_GPU = 3
"""Work, sends and receipts: a send runs on while the next micro-batch computes, and one track holds no overlaps."""
_WORDS = {"all_reduce": "all-reduce", "all_to_all": "all-to-all", "ffn": "FFN", "gather": "gather logits"}


def perfetto_lines(graph: Graph) -> Iterator[str]:
    """The trace in pieces, one event to a line."""
    yield f'{{"displayTimeUnit": "ms", "otherData": {dumps(graph.header())}, "traceEvents": ['
    first = True
    for event in _events(graph):
        yield f"\n{dumps(event)}" if first else f",\n{dumps(event)}"
        first = False
    yield "\n]}\n"


def _events(graph: Graph) -> Iterator[dict[str, Any]]:
    processes: dict[str, int] = {}
    tracks: dict[str, tuple[int, int]] = {}
    flow = 0
    yield _named("process_name", REPLICAS, 0, "replicas: one token for each micro-batch")
    for instance in graph.instances():
        yield from _tracks(instance, processes, tracks)
        yield from _passes(instance)
        for node in instance.nodes:
            for number in range(len(node.start_ms)):
                yield from _runs(node, number, tracks)
                if node.kind == "send":
                    flow += 1
                    yield from _flow(node, number, tracks, flow)


def _tracks(
    instance: InstanceGraph, processes: dict[str, int], tracks: dict[str, tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    for gpu in instance.gpus:
        if gpu.node not in processes:
            processes[gpu.node] = len(processes) + 1
            yield _named("process_name", processes[gpu.node], 0, f"{gpu.node} ({gpu.type})")
        pid = processes[gpu.node]
        tracks[gpu.name] = pid, TRACKS_PER_GPU * len(tracks) + 1
        short = gpu.name.rsplit("/", 1)[-1]
        yield _named(
            "thread_name",
            pid,
            tracks[gpu.name][1],
            f"{short}: replica {gpu.replica}, stage {gpu.stage}, TP rank {gpu.shard}",
        )
    for node in instance.nodes:
        if node.kind == "send":
            half = len(node.gpus) // 2
            for position, name in enumerate(node.gpus):
                offset, word = (1, "sends") if position < half else (2, "receives")
                pid, tid = tracks[name]
                yield _named("thread_name", pid, tid + offset, f"{name.rsplit('/', 1)[-1]} {word}")


def _passes(instance: InstanceGraph) -> Iterator[dict[str, Any]]:
    for replica in instance.replicas:
        for number in range(instance.micro_batches):
            track = replica * instance.micro_batches + number + 1
            yield _named("thread_name", REPLICAS, track, f"replica {replica}, micro-batch {number}")
            start = number * instance.decode_step_ms / instance.micro_batches
            args = {"sequences": instance.sequences_per_micro_batch, "replica": replica}
            yield _complete("one token", "step", REPLICAS, track, start, start + instance.decode_step_ms, args)


def _runs(node: GraphNode, number: int, tracks: dict[str, tuple[int, int]]) -> Iterator[dict[str, Any]]:
    if node.kind == "token":
        return
    name = _WORDS.get(node.kind, node.kind)
    if node.layer is not None:
        name = f"layer {node.layer} {name}"
    args: dict[str, Any] = {"id": node.id, "micro_batch": number}
    if node.kind in MODULES:
        args["memory_bytes"] = node.memory_bytes
    if node.kind in COMMUNICATION:
        args |= {"link": node.link, "message_bytes": node.message_bytes, "sent_bytes_per_gpu": node.sent_bytes_per_gpu}
    category = "communication" if node.kind in COMMUNICATION else "compute"
    for position, gpu in enumerate(node.gpus):
        pid, tid = tracks[gpu]
        if node.kind == "send":
            sends = position < len(node.gpus) // 2
            name = f"send to stage {node.stage + 1}" if sends else f"receive from stage {node.stage}"
            tid += 1 if sends else 2
        yield _complete(name, category, pid, tid, node.start_ms[number], node.end_ms[number], args)


def _flow(node: GraphNode, number: int, tracks: dict[str, tuple[int, int]], flow: int) -> Iterator[dict[str, Any]]:
    """An arrow from the first sender to the first receiver."""
    half = len(node.gpus) // 2
    ends = (("s", node.gpus[0], node.start_ms[number], 1), ("f", node.gpus[half], node.end_ms[number], 2))
    for phase, gpu, at, offset in ends:
        pid, tid = tracks[gpu]
        event = {"name": "send", "cat": "communication", "ph": phase, "id": flow, "pid": pid, "tid": tid + offset}
        yield {**event, "ts": _micros(at), **({"bp": "e"} if phase == "f" else {})}


def _complete(
    name: str, category: str, pid: int, tid: int, start: float, end: float, args: dict[str, Any]
) -> dict[str, Any]:
    ts = _micros(start)
    duration = round(_micros(end) - ts, 6)
    return {"name": name, "cat": category, "ph": "X", "ts": ts, "dur": duration, "pid": pid, "tid": tid, "args": args}


def _named(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def _micros(milliseconds: float) -> float:
    return round(milliseconds * 1e3, 6)
