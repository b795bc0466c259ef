"""The graph of joint instances beside prefill and decode pools as data: who stands where, and what crosses inside an instance.

The pools are a ``PoolGraph`` of their own part. What builds it, checks it and draws it agree on these types only. ``docs/graph.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optimizer.results.graph import GRAPH_SCHEMA_VERSION, LinkKind
from optimizer.results.pool_graph import PoolGraph, TensorTraffic


@dataclass(frozen=True, slots=True)
class JointGpu:
    """One GPU of a joint instance."""

    name: str
    """``node-0/gpu-3``."""
    node: str
    """Name of its node."""
    domain: str
    """NVLink domain."""
    type: str
    """Name of its type in the catalog."""
    instance: str
    """Name of the engine instance that it belongs to."""
    rank: int
    """Data-parallel rank of the instance, from 0."""
    stage: int
    """Pipeline stage, from 0."""
    shard: int
    """TP rank, from 0."""
    memory_bytes: int
    """What the device offers, bytes."""
    weights_bytes: int
    """Weights that it holds, bytes."""


@dataclass(frozen=True, slots=True)
class JointInstance:
    """One joint engine instance. Rates are those at the stated load."""

    name: str
    """``replica-0``."""
    nodes: tuple[str, ...]
    """Names of the nodes that it stands on, in rank order."""
    tensor_parallel: int
    """TP."""
    pipeline_parallel: int
    """PP."""
    expert_parallel: int
    """EP; 1: experts are not spread."""
    ranks: int
    """Data-parallel ranks."""
    share: float
    """Part of the joint instances' requests that it is sent, 0 to 1."""
    requests_per_s: float
    """Requests/s that it is sent."""
    tokens_per_s_per_rank: float
    """Prompt and output tokens/s that one rank works on."""
    exchange_bytes_per_token: int | None
    """What a GPU of the stage that sends most sends to other ranks of each token, all its layers, rounded up; None: experts are sliced."""


@dataclass(frozen=True, slots=True)
class StageTraffic:
    """Hidden state and residual that a TP rank of a stage sends to the same rank of the next."""

    source: str
    """Name of the GPU that sends."""
    target: str
    """Name of the GPU that receives."""
    link: LinkKind
    """The link that joins the two."""
    bytes_per_token: int
    """Of each token that the rank works on."""
    bytes_per_s: float
    """Bytes in a second at the stated load."""


@dataclass(frozen=True, slots=True)
class BesideGraph:
    """Both parts where they stand, each GPU of one part."""

    problem: str
    """Name of the problem."""
    label: str
    """Short name of both."""
    requests_per_s: float
    """The stated load, requests/s."""
    share: float
    """Of the requests, what the joint instances are sent."""
    gpus: tuple[JointGpu, ...]
    """Every GPU of the joint instances, instance by instance in rank order."""
    instances: tuple[JointInstance, ...]
    """Every joint instance."""
    tensor: tuple[TensorTraffic, ...]
    """Traffic inside their TP groups."""
    sends: tuple[StageTraffic, ...]
    """Traffic between their stages."""
    pools: PoolGraph
    """The pools, with the requests that they are sent; shares are of those."""

    def header(self) -> dict[str, Any]:
        """What is said of all together, as plain data."""
        pools = self.pools.header()
        return {
            "schema_version": GRAPH_SCHEMA_VERSION,
            "kind": "side-by-side-graph",
            "problem": self.problem,
            "strategy": self.label,
            "requests_per_s": self.requests_per_s,
            "joint_share": self.share,
            **{name: pools[name] for name in ("cache_link", "transfer_ms", "transfer_longest_ms")},
        }
