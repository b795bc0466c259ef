"""The graph of prefill and decode pools as data: GPUs, instances, traffic inside an instance and the cache between the pools.

What builds it, checks it and draws it agree on these types only. ``docs/graph.md``, pools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from optimizer.results.graph import GRAPH_SCHEMA_VERSION, LinkKind


@dataclass(frozen=True, slots=True)
class PoolGpu:
    """One GPU in use."""

    name: str
    """``node-0/gpu-3``."""
    node: str
    """Name of its node."""
    domain: str
    """NVLink domain; GPUs of one domain reach each other over NVLink."""
    type: str
    """Name of its type in the catalog."""
    pool: str
    """``prefill`` or ``decode``."""
    instance: str
    """Name of the engine instance that it belongs to."""
    rank: int
    """Data-parallel rank of the instance, from 0."""
    shard: int
    """TP rank, from 0."""
    memory_bytes: int
    """What the device offers, bytes."""
    weights_bytes: int
    """Weights that it holds, bytes."""
    cache_room_bytes: int
    """What the budget leaves for the cache, bytes."""


@dataclass(frozen=True, slots=True)
class PoolInstance:
    """One engine instance of either pool. Rates are those at the stated load."""

    name: str
    """``prefill-0``."""
    pool: str
    """``prefill`` or ``decode``."""
    group: str | None
    """Group of the inventory that it stands on; None on equal nodes."""
    nodes: tuple[str, ...]
    """Names of the nodes that it stands on, in rank order."""
    tensor_parallel: int
    """TP."""
    expert_parallel: int
    """EP; 1: experts are not spread."""
    ranks: int
    """Data-parallel ranks."""
    share: float
    """Part of all requests that it is sent, 0 to 1."""
    requests_per_s: float
    """Requests/s that it is sent."""
    tokens_per_s_per_rank: float
    """Tokens/s that one rank works on: prompt tokens of prefill, output tokens of decode."""
    all_reduce_link: LinkKind | None
    """Slowest link that the TP group of any rank needs; None for TP1."""
    exchange_link: LinkKind | None
    """Slowest link that the exchange of experts between its ranks needs; None where there is none."""
    exchange_bytes_per_token: int
    """What a GPU sends to those of the other ranks of each token of its rank, all layers, rounded up."""
    exchange_bytes_per_s: float
    """What a GPU sends so in a second, bytes."""
    cache_bytes_per_s_per_gpu: float
    """Cache that the busiest of its GPUs sends to, or receives from, the other pool in a second."""
    cache_link_gb_per_s: float
    """What one of its GPUs has of the link between the pools, 10^9 bytes/s in one direction."""
    cache_link_busy: float | None
    """Share of the time that this is in use, of the answer; None where requests pile up."""


@dataclass(frozen=True, slots=True)
class TensorTraffic:
    """What a GPU sends to the next one of its TP group, in a ring, over all all-reduces of the layers."""

    source: str
    """Name of the GPU that sends."""
    target: str
    """Name of the GPU that receives."""
    link: LinkKind
    """The link that joins the two."""
    bytes_per_token: int
    """Of each token that the rank works on, all layers, rounded up."""
    bytes_per_s: float
    """Bytes in a second at the stated load."""


@dataclass(frozen=True, slots=True)
class CacheTransfer:
    """The cache that a prefill instance sends to a decode instance."""

    source: str
    """Name of the prefill instance."""
    target: str
    """Name of the decode instance."""
    link: LinkKind
    """The slowest link that any pair of their GPUs needs where they stand."""
    requests_per_s: float
    """Requests/s that go this way."""
    bytes_per_request: int
    """Cache of the mean prompt, on all GPUs of a decode rank together."""
    longest_bytes_per_request: int
    """The same of the longest prompt."""
    bytes_per_s: float
    """Bytes in a second, over all lengths of prompts."""


@dataclass(frozen=True, slots=True)
class PoolGraph:
    """Both pools where they stand. ``transfers()`` makes the edges between the pools one after another: they may be many."""

    problem: str
    """Name of the problem."""
    label: str
    """Short name of the pools."""
    requests_per_s: float
    """The stated load, requests/s."""
    link: str
    """What the answer counts the cache to cross: NVLink, PCIe or network."""
    transfer_ms: float
    """Of the mean prompt's cache, no other in the way, ms: the answer's."""
    transfer_longest_ms: float
    """Of the longest prompt's cache, no other in the way, ms: the answer's."""
    gpus: tuple[PoolGpu, ...]
    """Every GPU in use, instance by instance in rank order."""
    instances: tuple[PoolInstance, ...]
    """Every instance, prefill first."""
    tensor: tuple[TensorTraffic, ...]
    """Traffic inside TP groups."""
    transfers: Callable[[], Iterator[CacheTransfer]]
    """Makes the cache of each prefill instance to each decode instance."""

    def header(self) -> dict[str, Any]:
        """What is said of all together, as plain data."""
        return {
            "schema_version": GRAPH_SCHEMA_VERSION,
            "kind": "pools-graph",
            "problem": self.problem,
            "strategy": self.label,
            "requests_per_s": self.requests_per_s,
            "cache_link": self.link,
            "transfer_ms": self.transfer_ms,
            "transfer_longest_ms": self.transfer_longest_ms,
        }
