"""Section 1 of ``docs/model.md``: which GPUs share what, derived from the degrees.

Other home: ``costs/shapes.py``; docs/model.md, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Strategy


@dataclass(frozen=True, slots=True)
class Group:
    """The GPUs that share one stage, and the formats they hold it in: all that the cost of a layer depends on."""

    tensor: int
    expert: int
    weight_format: str
    kv_format: str
    slicing: int = 1
    """Replicas of one engine that slice every expert among them."""
    contexts: int = 1
    """Tensor-parallel ranks that share the tokens of a sequence's cache."""

    @property
    def ranks(self) -> int:
        """d: replicas that form one engine instance."""
        return max(1, self.expert // self.tensor) * self.slicing

    @property
    def expert_gpus(self) -> int:
        """G_e: GPUs that hold the experts of a stage together."""
        return max(self.tensor, self.expert) * self.slicing

    @property
    def slices(self) -> int:
        """Parts that every expert is cut into."""
        return self.slicing * (self.tensor // self.expert if self.expert < self.tensor else 1)


@dataclass(frozen=True, slots=True)
class ReplicaShape:
    """One replica: a group per stage, and the layers of each stage."""

    group: Group
    layers: tuple[int, ...]

    @property
    def stages(self) -> int:
        """P."""
        return len(self.layers)

    @property
    def instance_gpus(self) -> int:
        """S: GPUs of one engine instance, the unit that fails."""
        return self.group.tensor * self.stages * self.group.ranks


@dataclass(frozen=True, slots=True)
class Row:
    """A shape and how often it is there; with max_num_seqs it is a strategy."""

    shape: ReplicaShape
    replicas: int

    @property
    def instances(self) -> int:
        """K."""
        return max(1, self.replicas // self.shape.group.ranks)

    @property
    def gpus(self) -> int:
        """U: GPUs in use."""
        return self.shape.group.tensor * self.shape.stages * self.replicas

    def strategy(self, max_num_seqs: int) -> Strategy:
        """The strategy of this row with so many sequences at once."""
        group = self.shape.group
        return Strategy(
            tensor_parallel=group.tensor,
            pipeline_parallel=self.shape.stages,
            data_parallel=self.replicas,
            expert_parallel=group.expert,
            max_num_seqs=max_num_seqs,
            layers_per_stage=self.shape.layers,
            weight_precision=group.weight_format,
            kv_precision=group.kv_format,
            expert_slice_ranks=group.slicing,
            decode_context_parallel=group.contexts,
        )


def row_of(strategy: Strategy) -> Row:
    """The row a strategy belongs to."""
    group = Group(
        strategy.tensor_parallel,
        strategy.expert_parallel,
        strategy.weight_precision,
        strategy.kv_precision,
        strategy.expert_slice_ranks,
        strategy.decode_context_parallel,
    )
    return Row(ReplicaShape(group, tuple(strategy.layers_per_stage)), strategy.data_parallel)
