"""Several models on one inventory: the file as a person writes it, and the question resolved. ``docs/several.md``, section 8."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from optimizer.facts.base import Facts
from optimizer.facts.demand import Objective
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.several import WEIGHT_STEPS, refuse_same_names


class ClusterModelEntry(Facts):
    """One model resolved: its own question on the whole inventory, and how much it counts."""

    name: str
    weight: float
    problem: InventoryProblem

    @property
    def weight_steps(self) -> int:
        """The weight in whole steps."""
        return round(self.weight * WEIGHT_STEPS)


class ClusterModelsProblem(Facts):
    """Everything that the answer depends on. Groups, domains and failure rates are those of every model alike."""

    name: str
    models: Annotated[tuple[ClusterModelEntry, ...], Field(min_length=1)]
    objective: Objective

    @model_validator(mode="after")
    def _names_differ(self) -> ClusterModelsProblem:
        refuse_same_names([one.name for one in self.models])
        return self

    @property
    def inventory(self) -> InventoryProblem:
        """The question of the first model, for what all of them share: groups, domains, failure rates."""
        return self.models[0].problem

    @property
    def groups(self) -> tuple[NodeGroup, ...]:
        """The groups of nodes that the models share."""
        return self.inventory.groups

    @property
    def gpus(self) -> int:
        """Free GPUs of all groups."""
        return self.inventory.gpus

    def with_model(self, number: int, problem: InventoryProblem) -> ClusterModelsProblem:
        """The same with another question for one model."""
        models = list(self.models)
        models[number] = models[number].model_copy(update={"problem": problem})
        return self.model_copy(update={"models": tuple(models)})

    def with_groups(self, groups: tuple[NodeGroup, ...]) -> ClusterModelsProblem:
        """The same on other groups, such as with more nodes."""
        models = tuple(
            one.model_copy(update={"problem": one.problem.model_copy(update={"groups": groups})}) for one in self.models
        )
        return self.model_copy(update={"models": models})

    def among(self, numbers: list[int]) -> ClusterModelsProblem:
        """Some of the models alone."""
        return self.model_copy(update={"models": tuple(self.models[number] for number in numbers)})
