"""The execution graph of one decode step as data: what builds it, checks it and draws it agree on these types only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from optimizer.results.answer import Mismatch, Strategy

GRAPH_SCHEMA_VERSION = "1.0"

NodeKind = Literal[
    "embedding", "attention", "ffn", "experts", "head", "all_reduce", "all_to_all", "gather", "send", "token"
]
LinkKind = Literal["nvlink", "pcie", "network"]
MODULES = frozenset({"embedding", "attention", "ffn", "experts", "head"})
"""Kinds that compute on one GPU and hold memory there."""
COMMUNICATION = frozenset({"all_reduce", "all_to_all", "gather", "send"})


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU in use. ``memory_bytes`` is what the device offers; ``rest_bytes`` what no module of the graph holds."""

    name: str
    """``node-0/gpu-3``."""
    node: str
    """Name of its node."""
    domain: str
    """NVLink domain; GPUs of one domain reach each other over NVLink."""
    type: str
    """Name of its type in the catalog."""
    memory_bytes: int
    """What the device offers, bytes."""
    replica: int
    """Replica that it works for, from 0."""
    stage: int
    """Stage of the replica, from 0."""
    shard: int
    """TP rank, from 0."""
    rest_bytes: Mapping[str, int]
    """What no module of the graph holds → bytes."""


@dataclass(frozen=True, slots=True)
class GraphLink:
    """A declared link class: bandwidth of one direction, 10^9 bytes/s, and time of a message without bytes, ms."""

    name: LinkKind
    """``nvlink``, ``pcie`` or ``network``."""
    gpu: str
    """The GPU type whose nodes have it."""
    gb_per_s: float
    """Of one direction, 10^9 bytes/s."""
    latency_ms: float
    """Of a message without bytes, ms."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A module on its GPU, a collective of a group of GPUs, a send between stages, or the token that ends the step.

    ``start_ms`` and ``end_ms`` hold one value per micro-batch, counted from the start of the step's first micro-batch.
    """

    id: str
    """Unique in the graph: ``r0/s1/l40/attention/t2``."""
    kind: NodeKind
    """What it is."""
    instance: str
    """Name of the engine instance."""
    replica: int | None
    """None for what all replicas of an engine instance do together."""
    stage: int
    """The sending stage for a send."""
    layer: int | None
    """Of the model, from 0; None for what is of no layer."""
    shard: int | None
    """TP rank; None for what a group does together."""
    gpus: tuple[str, ...]
    """A send: the GPUs that send, then as many that receive, in the same order."""
    start_ms: tuple[float, ...]
    """Of each micro-batch, ms."""
    end_ms: tuple[float, ...]
    """Of each micro-batch, ms."""
    link: LinkKind | None = None
    """The slowest link that the group needs."""
    message_bytes: int = 0
    """Bytes. All-reduce: the vector that is summed. All-to-all: what each GPU has for the others. Send: all pairs together."""
    sent_bytes_per_gpu: int = 0
    """What leaves the busiest GPU, rounded up."""
    weights_bytes: int = 0
    """Weights that it holds on its GPU, bytes."""
    kv_cache_bytes: int = 0
    """KV cache that it holds on its GPU, bytes."""
    logits_bytes: int = 0
    """Logits that it holds on its GPU, bytes."""
    experts: tuple[int, int, int] | None = None
    """(first, number, slices): routed experts held, each cut into so many slices of which this GPU holds one."""
    terms_ms: Mapping[str, float] = field(default_factory=dict)
    """Name of a term of its time → ms; they add up to it."""

    @property
    def memory_bytes(self) -> int:
        """What the module reserves on its GPU."""
        return self.weights_bytes + self.kv_cache_bytes + self.logits_bytes


@dataclass(frozen=True, slots=True)
class Edge:
    """``target`` waits for ``source``: what it needs lies in the memory of a GPU that both have, ``gpu`` the first of them.

    What has to come from another GPU passes through a node of kind all_reduce, all_to_all, gather or send.
    """

    source: str
    """Id of the node that is waited for."""
    target: str
    """Id of the node that waits."""
    gpu: str
    """Name of a GPU that both have."""


@dataclass(frozen=True, slots=True)
class InstanceGraph:
    """The part of one engine instance; instances share no edge."""

    name: str
    """Of the engine instance."""
    strategy: Strategy
    """Of all instances like it: its DP counts their replicas."""
    sequences_in_progress: int
    """At each of its replicas."""
    replicas: tuple[int, ...]
    """Numbers of its replicas."""
    gpus: tuple[Gpu, ...]
    """Every GPU of it, in rank order."""
    nodes: tuple[GraphNode, ...]
    """In the order of their start."""
    edges: tuple[Edge, ...]
    """Who waits for whom."""
    decode_step_ms: float
    """From one token of a sequence to its next: the round of the answer, ms."""
    micro_batches: int
    """Micro-batches that fill the pipeline."""
    sequences_per_micro_batch: int
    """Sequences of each."""


@dataclass(frozen=True, slots=True)
class Graph:
    """One decode step of every replica. ``instances()`` makes the parts one after another, so that large ones stream."""

    problem: str
    """Name of the problem."""
    label: str
    """Short name of the strategy or the instances."""
    strategy: Strategy | None
    """None where instances of several shapes stand side by side."""
    context_tokens: int
    """Tokens of context of every sequence."""
    links: tuple[GraphLink, ...]
    """The link classes that nodes name."""
    notes: tuple[str, ...]
    """Sentences on what the graph leaves out."""
    instance_count: int
    """How many ``instances()`` makes."""
    instances: Callable[[], Iterator[InstanceGraph]]
    """Makes the parts, one engine instance after another."""

    def header(self) -> dict[str, Any]:
        """Everything but the instances, as plain data."""
        return {
            "schema_version": GRAPH_SCHEMA_VERSION,
            "kind": "graph",
            "problem": self.problem,
            "strategy": self.label,
            "step": "decode: one token for every sequence in progress",
            "context_tokens": self.context_tokens,
            "links": [asdict(link) for link in self.links],
            "instances": self.instance_count,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """What the independent check of a graph found; ``passed`` only when every one of ``checks`` agrees."""

    passed: bool
    """Whether every check agrees."""
    checks: int
    """What was recomputed."""
    nodes: int
    """Nodes seen."""
    edges: int
    """Edges seen."""
    mismatches: tuple[Mismatch, ...] = ()
    """What does not agree."""
