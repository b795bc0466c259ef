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
    node: str
    domain: str
    """NVLink domain; GPUs of one domain reach each other over NVLink."""
    type: str
    memory_bytes: int
    replica: int
    stage: int
    shard: int
    rest_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class GraphLink:
    """A declared link class: bandwidth of one direction, 10^9 bytes/s, and time of a message without bytes, ms."""

    name: LinkKind
    gpu: str
    """The GPU type whose nodes have it."""
    gb_per_s: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A module on its GPU, a collective of a group of GPUs, a send between stages, or the token that ends the step.

    ``start_ms`` and ``end_ms`` hold one value per micro-batch, counted from the start of the step's first micro-batch.
    """

    id: str
    kind: NodeKind
    instance: str
    replica: int | None
    """None for what all replicas of an engine instance do together."""
    stage: int
    """The sending stage for a send."""
    layer: int | None
    shard: int | None
    """TP rank; None for what a group does together."""
    gpus: tuple[str, ...]
    """A send: the GPUs that send, then as many that receive, in the same order."""
    start_ms: tuple[float, ...]
    end_ms: tuple[float, ...]
    link: LinkKind | None = None
    """The slowest link that the group needs."""
    message_bytes: int = 0
    """All-reduce: the vector that is summed. All-to-all: what each GPU has for the others. Send: all pairs together."""
    sent_bytes_per_gpu: int = 0
    """What leaves the busiest GPU, rounded up."""
    weights_bytes: int = 0
    kv_cache_bytes: int = 0
    logits_bytes: int = 0
    experts: tuple[int, int, int] | None = None
    """(first, number, slices): routed experts held, each cut into so many slices of which this GPU holds one."""
    terms_ms: Mapping[str, float] = field(default_factory=dict)

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
    target: str
    gpu: str


@dataclass(frozen=True, slots=True)
class InstanceGraph:
    """The part of one engine instance; instances share no edge."""

    name: str
    strategy: Strategy
    """Of all instances like it: its DP counts their replicas."""
    sequences_in_progress: int
    """At each of its replicas."""
    replicas: tuple[int, ...]
    gpus: tuple[Gpu, ...]
    nodes: tuple[GraphNode, ...]
    edges: tuple[Edge, ...]
    decode_step_ms: float
    """From one token of a sequence to its next: the round of the answer."""
    micro_batches: int
    sequences_per_micro_batch: int


@dataclass(frozen=True, slots=True)
class Graph:
    """One decode step of every replica. ``instances()`` makes the parts one after another, so that large ones stream."""

    problem: str
    label: str
    strategy: Strategy | None
    """None where instances of several shapes stand side by side."""
    context_tokens: int
    links: tuple[GraphLink, ...]
    notes: tuple[str, ...]
    instance_count: int
    instances: Callable[[], Iterator[InstanceGraph]]

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
    checks: int
    nodes: int
    edges: int
    mismatches: tuple[Mismatch, ...] = ()
