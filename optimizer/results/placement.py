"""Where engine instances stand: every instance with its GPUs by name. Data, and how equal instances stand on equal nodes.

An engine instance is what fails as one (``docs/model.md``, section 1). Its GPUs are listed in rank order: TP innermost,
then the stages of a replica, then the replicas of the instance.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy


@dataclass(frozen=True, slots=True)
class GpuPlace:
    """One GPU: the node's name and the index in it (what CUDA_VISIBLE_DEVICES counts)."""

    node: str
    """Name of the node."""
    index: int
    """Of the GPU in it, from 0."""

    @property
    def name(self) -> str:
        """Such as ``node-0/gpu-3``."""
        return f"{self.node}/gpu-{self.index}"


@dataclass(frozen=True, slots=True)
class PlacedInstance:
    """One engine instance. ``strategy`` is that of its pool: its DP counts all replicas of the pool.

    ``gpus`` has TP x PP x ``replicas`` places; ``share`` is the part of all requests that the router sends it.
    """

    name: str
    """``replica-0``."""
    pool: int
    """Position of its pool in the answer, from 0."""
    strategy: Strategy
    """Of its pool."""
    replicas: int
    """Replicas that it runs as data-parallel ranks."""
    share: float
    """Part of all requests, 0 to 1."""
    gpus: tuple[GpuPlace, ...]
    """In rank order."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes it touches, in rank order."""
        return tuple(dict.fromkeys(place.node for place in self.gpus))

    def gpu(self, replica: int, stage: int, rank: int) -> GpuPlace:
        """The GPU of a TP rank of a stage of one of its replicas."""
        t, stages = self.strategy.tensor_parallel, self.strategy.pipeline_parallel
        return self.gpus[(replica * stages + stage) * t + rank]


@dataclass(frozen=True, slots=True)
class Placement:
    """Every instance of a service."""

    instances: tuple[PlacedInstance, ...]
    """In the order of their names."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes in use, in order of first use."""
        return tuple(dict.fromkeys(place.node for instance in self.instances for place in instance.gpus))


def engine_replicas(strategy: Strategy) -> int:
    """d: replicas that one engine instance runs as data-parallel ranks."""
    return strategy.engine_ranks


def place_evenly(problem: Problem, strategy: Strategy) -> Placement:
    """A strategy on equal nodes: whole instances spread evenly over the nodes, else one after the other (section 5).

    Raises:
        ValueError: the strategy has more GPUs than there are.
    """
    hardware = problem.hardware
    ranks = engine_replicas(strategy)
    size = strategy.tensor_parallel * strategy.pipeline_parallel * ranks
    count = max(1, strategy.data_parallel // ranks)
    per_node, nodes = hardware.gpus_per_node, hardware.nodes
    if size * count > hardware.gpus:
        raise ValueError(f"{size * count} GPUs are needed, there are {hardware.gpus}")
    starts: list[int] = []
    if size <= per_node and count <= nodes * (per_node // size):
        each, more = divmod(count, nodes)
        for node in range(nodes):
            starts += [node * per_node + position * size for position in range(each + (node < more))]
    else:
        starts = [position * size for position in range(count)]
    return Placement(
        tuple(
            PlacedInstance(
                name=f"replica-{number}",
                pool=0,
                strategy=strategy,
                replicas=ranks,
                share=1 / count,
                gpus=tuple(GpuPlace(f"node-{gpu // per_node}", gpu % per_node) for gpu in range(start, start + size)),
            )
            for number, start in enumerate(starts)
        )
    )
