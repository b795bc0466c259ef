"""Several models on the same equal nodes: the file as a person writes it, and the question resolved. ``docs/several.md``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from optimizer.facts.base import Facts, Name
from optimizer.facts.demand import Objective, Preset, Requirements, SearchLimits
from optimizer.facts.engine import Engine
from optimizer.facts.errors import ProblemError
from optimizer.facts.file import HardwareInput
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.overhead import EngineVersion, StatedOverhead
from optimizer.facts.problem import Problem
from optimizer.facts.workload import WorkloadInput

MOST_MODELS = 8
"""More models on one set of nodes are not searched."""
LARGEST_WEIGHT = 100
WEIGHT_STEPS = 1000
"""Parts of one in which weights are counted: three decimals."""

Weight = Annotated[float, Field(gt=0, le=LARGEST_WEIGHT, strict=True)]


class ModelEntryInput(Facts):
    """One model with what is asked of it."""

    name: Name | None = Field(
        default=None, description="How answers call it, and the router; left out, the model's name"
    )
    model: str | dict[str, Any] = Field(
        description="Catalog name such as llama3-70b, a path to a Hugging Face config.json, or its contents inline"
    )
    weight: Weight = Field(
        default=1.0,
        description="What a millisecond of a request of this model counts against one of the others, in thousandths",
    )
    engine: Engine | None = Field(default=None, description="The serving engine; left out, that of the file")
    engine_version: EngineVersion | None = Field(
        default=None,
        description="Version whose way of measuring memory counts, such as 0.11.0; left out, the newest known",
    )
    engine_overhead: StatedOverhead = Field(
        default=StatedOverhead(),
        description="What the engine takes beside weights and cache, as measured on the machine",
    )
    workload: WorkloadInput = Field(description="The requests that arrive for this model")
    requirements: Requirements = Field(
        default=Requirements(), description="Limits that the answer keeps for this model"
    )
    search: SearchLimits = Field(default=SearchLimits(), description="What may be considered for this model")


class SeveralFile(Facts):
    """Several models on equal nodes, decided together. YAML or JSON."""

    name: Name | None = Field(default=None, description="How answers call the problem; left out, the file's name")
    engine: Engine = Field(default="vllm", description="The serving engine of models that state none")
    hardware: HardwareInput = Field(description="Equal nodes, which the models share")
    models: Annotated[tuple[ModelEntryInput, ...], Field(min_length=1, max_length=MOST_MODELS)] = Field(
        description="The models, each with its workload, limits and weight"
    )
    objective: Preset | Objective = Field(
        default=Objective(), description="What best means, for every model alike: a preset, or a preset with weights"
    )


class ModelEntry(Facts):
    """One model resolved: its own question on all the nodes there are, and how much it counts."""

    name: str
    weight: float
    problem: Problem

    def on(self, nodes: int) -> Problem:
        """Its question on so many of the nodes."""
        hardware = self.problem.hardware.model_copy(update={"nodes": nodes})
        return self.problem.model_copy(update={"hardware": hardware})

    @property
    def weight_steps(self) -> int:
        """The weight in whole steps."""
        return round(self.weight * WEIGHT_STEPS)


def refuse_same_names(names: Sequence[str]) -> None:
    """Models are told apart by their names.

    Raises:
        ProblemError: a name that is there twice.
    """
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ProblemError(f"models.{number}.name", f"{name} is there twice; name each model differently")


class SeveralProblem(Facts):
    """Everything that the answer depends on."""

    name: str
    hardware: HardwareFacts
    models: tuple[ModelEntry, ...]
    objective: Objective

    @model_validator(mode="after")
    def _names_differ(self) -> SeveralProblem:
        refuse_same_names([one.name for one in self.models])
        return self

    def with_nodes(self, nodes: int) -> SeveralProblem:
        """The same on another number of nodes."""
        models = tuple(one.model_copy(update={"problem": one.on(nodes)}) for one in self.models)
        hardware = self.hardware.model_copy(update={"nodes": nodes})
        return self.model_copy(update={"hardware": hardware, "models": models})

    def with_model(self, number: int, problem: Problem) -> SeveralProblem:
        """The same with another question for one model."""
        models = list(self.models)
        models[number] = models[number].model_copy(update={"problem": problem})
        return self.model_copy(update={"models": tuple(models)})
