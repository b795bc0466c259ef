"""What an answer about several models on shared nodes consists of."""

from __future__ import annotations

from dataclasses import dataclass, field

from optimizer.results.answer import (
    Change,
    Conflict,
    Metrics,
    ModelRead,
    ObjectiveResult,
    RuleResult,
    Status,
    Strategy,
    Verification,
)


@dataclass(frozen=True, slots=True)
class ServedShare:
    """What one model gets, and what it does with it."""

    name: str
    """As the problem names it."""
    weight: float
    """What a millisecond of a request of this model counts."""
    strategy: Strategy
    """Its strategy on the nodes it stands on."""
    nodes: int
    """Nodes that its instances are spread over evenly."""
    whole_nodes: bool
    """Whether it takes these nodes whole, because an instance spans several or TP groups could not share one."""
    metrics: Metrics
    """Of its strategy on these nodes."""
    value: float
    """Its own objective before the weight, ms per request."""
    terms: dict[str, float]
    """``served``, ``unserved`` and ``gpus`` → their part of the value, ms."""
    rules: tuple[RuleResult, ...]
    """Every rule of this model applied to its strategy."""
    decided: dict[str, int] = field(default_factory=dict)
    """Choices beside the strategy's that were left open: the token budget of a step, tokens guessed."""
    model: ModelRead | None = None
    """What was read of the model."""

    @property
    def instances(self) -> int:
        """Engine instances."""
        return self.strategy.data_parallel // self.strategy.engine_ranks

    @property
    def instance_gpus(self) -> int:
        """GPUs of one instance."""
        return self.strategy.gpus // max(1, self.instances)


@dataclass(frozen=True, slots=True)
class ServedInstance:
    """Where one engine instance stands."""

    model: str
    """The model it serves."""
    number: int
    """Of the model's instances, from 0."""
    nodes: tuple[str, ...]
    """Nodes it stands on."""
    gpus: tuple[str, ...]
    """Its GPUs in rank order, such as ``node-0/gpu-3``."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The best split in which one model has more GPUs, or fewer, than in the answer: what moving the border would cost."""

    model: str
    """The model whose GPUs change."""
    direction: str
    """``more`` or ``fewer`` GPUs than in the answer."""
    gpus: dict[str, int]
    """Name of a model → its GPUs then; empty where no such split keeps every rule."""
    difference: float | None
    """The weighted objective then less that of the answer, ms; None where there is no such split."""
    difference_by_model: dict[str, float]
    """Name of a model → its own objective then less now, before the weight, ms."""
    sentence: str
    """The same in words."""


@dataclass(frozen=True, slots=True)
class SeveralRepair:
    """Changes to the problem file that make an infeasible problem feasible, with what is best then."""

    changes: tuple[Change, ...]
    """What to set, all together."""
    sentence: str
    """The changes in words."""
    result: str
    """Short name of what is best then."""


@dataclass(frozen=True, slots=True)
class SeveralAnswer:
    """What ``solve`` or ``check`` found for several models."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    models: tuple[ServedShare, ...]
    """What each model gets, in the order of the file; empty where there is no split."""
    placement: tuple[ServedInstance, ...] | None
    """Every instance on its GPUs; None where there is no split."""
    free_gpus: tuple[int, ...]
    """GPUs of each node that no model takes, node-0 first."""
    objective: ObjectiveResult | None
    """The weighted sum; ``terms`` are the models' weighted values by name, ms."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    exchange: tuple[Exchange, ...] = ()
    """What moving the border between the models would cost."""
    conflicts: tuple[Conflict, ...] = ()
    """Why nothing is feasible: rules with their model in front, such as ``chat: ttft_p99``; ``placement`` is the room on the nodes."""
    repairs: tuple[SeveralRepair, ...] = ()
    """What would make it feasible."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    feasible: bool | None = None
    """Of ``check``: whether every rule is kept; None: nothing was proposed, or not settled."""
    optimum: SeveralAnswer | None = None
    """Of ``check``: the answer without what was proposed."""
    assumed: tuple[str, ...] = ()
    """What the problem did not state of its hardware and is taken as usual."""

    @property
    def label(self) -> str:
        """Short name such as ``chat 2 × TP4 + small 4 × TP1``; empty where there is no split."""
        return " + ".join(f"{one.name} {one.strategy.label}" for one in self.models)
