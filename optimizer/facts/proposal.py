"""A proposed placement as a person states it: instances on an inventory, or the layers that nodes of a chain hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from optimizer.facts.base import Count, CountOrZero, Facts, Name
from optimizer.facts.demand import KvFormat, kv_name
from optimizer.facts.model import WeightFormat

MOST_INSTANCES = 10_000


class ProposedInstance(Facts):
    """One engine instance, or ``count`` equal ones whose places are left to the optimizer."""

    group: Name | Annotated[tuple[Name, ...], Field(min_length=1, max_length=2)] = Field(
        description="Node group, or two for a pipeline over both, first stages first"
    )
    tp: Count = Field(description="Tensor parallel size")
    pp: Count = Field(default=1, description="Pipeline parallel size")
    ep: Count = Field(default=1, description="Expert parallel size")
    expert_slice_ranks: Count = Field(
        default=1, description="Replicas of the engine that slice every expert among them (MoE tensor parallel)"
    )
    dcp: Count = Field(default=1, description="Decode context parallel size: TP ranks that share a sequence's cache")
    weights: WeightFormat | None = Field(default=None, description="Weight format; left out, the one that is best")
    kv: Annotated[KvFormat | None, BeforeValidator(kv_name)] = Field(
        default=None, description="KV cache format; left out, the one that is best"
    )
    layers: Annotated[tuple[Count, ...], Field(min_length=1)] | None = Field(
        default=None, description="Layers of each stage; left out, the split that is best"
    )
    nodes: Annotated[tuple[Name, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Nodes it stands on, in rank order, e.g. h100-0; left out of all instances, they are placed",
    )
    gpus: dict[Name, tuple[CountOrZero, ...]] | None = Field(
        default=None, description="GPUs of each node by number; left out, the first that are free"
    )
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Part of all requests that it is sent; left out of all instances, as is best"
    )
    count: Count = Field(default=1, description="Equal instances, where no nodes are named")

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups its stages stand on."""
        return (self.group,) if isinstance(self.group, str) else self.group


class Proposal(Facts):
    """Every instance of a service."""

    instances: Annotated[tuple[ProposedInstance, ...], Field(min_length=1, max_length=MOST_INSTANCES)] = Field(
        description="The engine instances"
    )


class ProposedLayers(Facts):
    """The interval of layers that one node holds."""

    start: CountOrZero = Field(description="First layer, counted from 0")
    layers: Count = Field(description="How many")


class ChainProposal(Facts):
    """Which layers each node of a chain holds; nodes that are not named hold none."""

    nodes: Annotated[dict[Name, ProposedLayers], Field(min_length=1)] = Field(
        description="Interval of each node: {start: 0, layers: 10}, or [0, 10]"
    )


class ProposedModel(Facts):
    """What one of several models is to get; what is left out is chosen as well as possible."""

    tp: Count | None = Field(default=None, description="Tensor parallel size")
    pp: Count | None = Field(default=None, description="Pipeline parallel size")
    dp: Count | None = Field(default=None, description="Data parallel size: replicas")
    ep: Count | None = Field(default=None, description="Expert parallel size")
    expert_slice_ranks: Count | None = Field(
        default=None, description="Replicas of an engine that slice every expert among them (MoE tensor parallel)"
    )
    dcp: Count | None = Field(
        default=None, description="Decode context parallel size: TP ranks that share a sequence's cache"
    )
    max_num_seqs: Count | None = Field(default=None, description="Sequences per replica at once")
    weights: WeightFormat | None = Field(default=None, description="Weight format")
    kv: Annotated[KvFormat | None, BeforeValidator(kv_name)] = Field(default=None, description="KV cache format")
    layers: Annotated[tuple[Count, ...], Field(min_length=1)] | None = Field(
        default=None, description="Layers of each stage"
    )
    nodes: Count | None = Field(default=None, description="Nodes that its instances are spread over evenly")


class ClusterModelsProposal(Facts):
    """The engine instances of each of several models on one inventory."""

    models: Annotated[dict[Name, Proposal], Field(min_length=1)] = Field(description="Instances by the model's name")


class SeveralProposal(Facts):
    """What each of several models is to get; a model that is not named is chosen as well as possible."""

    models: Annotated[dict[Name, ProposedModel], Field(min_length=1)] = Field(
        description="Decisions by the model's name"
    )
