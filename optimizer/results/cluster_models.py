"""What an answer about several models on one inventory consists of."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Conflict, ObjectiveResult, Status, Verification
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.several import SeveralRepair


@dataclass(frozen=True, slots=True)
class InventoryShare:
    """What one model gets of an inventory, and what it does with it."""

    name: str
    """As the problem names it."""
    weight: float
    """What a millisecond of a request of this model counts."""
    answer: InventoryAnswer
    """Its instances, where each stands, its rules, losses and reliability: as an answer about it alone says them. Its objective
    claims nothing about better ones."""

    @property
    def gpus_by_group(self) -> dict[str, int]:
        """Name of a group → its GPUs that this model has."""
        found: dict[str, int] = {}
        for one in self.answer.placement.instances if self.answer.placement else ():
            for place in one.gpus:
                group = place.node.rpartition("-")[0]
                found[group] = found.get(group, 0) + 1
        return found


@dataclass(frozen=True, slots=True)
class GroupLeft:
    """GPUs of a group that no model takes."""

    group: str
    """Name of the node group."""
    free_gpus: int
    """Free GPUs of it that the inventory has."""
    left_gpus: int
    """Of these, GPUs that no model takes."""


@dataclass(frozen=True, slots=True)
class GroupExchange:
    """The best split in which one model has more GPUs of a group, or fewer, than in the answer: what moving the border would cost."""

    model: str
    """The model whose GPUs change."""
    group: str
    """The group of nodes."""
    direction: str
    """``more`` or ``fewer`` GPUs of the group than in the answer."""
    gpus: dict[str, dict[str, int]]
    """Name of a model → name of a group → its GPUs then; empty where no such split keeps every rule."""
    difference: float | None
    """The weighted objective then less that of the answer, ms; None where there is no such split."""
    difference_by_model: dict[str, float]
    """Name of a model → its own objective then less now, before the weight, ms."""
    sentence: str
    """The same in words."""


@dataclass(frozen=True, slots=True)
class ClusterModelsAnswer:
    """What ``solve`` or ``check`` found for several models on one inventory."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    models: tuple[InventoryShare, ...]
    """What each model gets, in the order of the file; empty where there is no split."""
    left: tuple[GroupLeft, ...]
    """What is left of each group, in the order of the file."""
    objective: ObjectiveResult | None
    """The weighted sum of whole milliseconds; ``terms`` are the models' weighted values by name, ms."""
    price_per_hour: float | None
    """Of the GPUs in use, in the currency of the stated prices; None: not every price is known."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    exchange: tuple[GroupExchange, ...] = ()
    """What moving the border between the models would cost."""
    conflicts: tuple[Conflict, ...] = ()
    """Why nothing is feasible: rules with their model in front, such as ``chat: ttft_p99``; ``placement`` is the room on the nodes."""
    repairs: tuple[SeveralRepair, ...] = ()
    """What would make it feasible."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    feasible: bool | None = None
    """Of ``check``: whether every rule is kept; None: nothing was proposed, or not settled."""
    optimum: ClusterModelsAnswer | None = None
    """Of ``check``: the answer without what was proposed."""
    assumed: tuple[str, ...] = ()
    """What the problem did not state of its hardware and is taken as usual."""

    @property
    def label(self) -> str:
        """Short name such as ``chat: 2 × TP4·PP1 on h100; small: 4 × TP1·PP1 on l40s``; empty where there is no split."""
        return "; ".join(f"{one.name}: {one.answer.label}" for one in self.models)
