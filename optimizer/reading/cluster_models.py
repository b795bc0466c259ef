"""From a file with ``models:`` and ``cluster:`` to a checked ``ClusterModelsProblem``: each entry is a question on the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from optimizer.catalog.instances import nodes_stated
from optimizer.facts.base import Facts, Name, Positive
from optimizer.facts.cluster_models import ClusterModelEntry, ClusterModelsProblem
from optimizer.facts.demand import Objective, Preset
from optimizer.facts.engine import Engine
from optimizer.facts.errors import ProblemError
from optimizer.facts.several import MOST_MODELS, ModelEntryInput
from optimizer.facts.text import name_from_path
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.inventory_input import MOST_GROUPS, GroupInput, InventoryFailuresInput, with_levels
from optimizer.reading.load import first_error
from optimizer.reading.several import OF_ENTRY, refuse_fine_weight, refuse_of_one_model

OF_ALL = ("cluster", "domains", "power_limits_watts", "failures", "objective")


class ClusterModelsFile(Facts):
    """Several models on one inventory, decided together. YAML or JSON."""

    name: Name | None = Field(default=None, description="How answers call the problem; left out, the file's name")
    engine: Engine = Field(default="vllm", description="The serving engine of models that state none")
    cluster: Annotated[tuple[GroupInput, ...], Field(min_length=1, max_length=MOST_GROUPS)] = Field(
        description="Groups of equal nodes, which the models share"
    )
    domains: dict[Name, dict[Name, tuple[Name, ...]]] = Field(
        default={}, description="Sets of groups that fail together: level, name of the domain, groups in it"
    )
    power_limits_watts: dict[Name, Positive | dict[Name, Positive]] = Field(
        default={},
        description="Most power, W, of all models together: total: of everything; rack, zone or a level of domains: by its names",
    )
    failures: InventoryFailuresInput = Field(
        default=InventoryFailuresInput(), description="Failure rates and restart times; left out, published defaults"
    )
    models: Annotated[tuple[ModelEntryInput, ...], Field(min_length=1, max_length=MOST_MODELS)] = Field(
        description="The models, each with its workload, limits and weight"
    )
    objective: Preset | Objective = Field(
        default=Objective(), description="What best means, for every model alike: a preset, or a preset with weights"
    )


def cluster_models_schema() -> dict[str, Any]:
    """The JSON Schema of a problem file with ``models:`` and ``cluster:``."""
    return with_levels(ClusterModelsFile.model_json_schema())


def cluster_models_from_dict(
    values: Mapping[str, Any], *, default_name: str = "problem", folder: Path | None = None
) -> ClusterModelsProblem:
    """Check and resolve several models on one inventory.

    Args:
        values: the contents of a problem file.
        default_name: the name when the file states none.
        folder: where relative model paths start.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    _refuse_beside_models(values)
    values = nodes_stated(values)
    try:
        stated = ClusterModelsFile.model_validate(_without_losses(values))
    except ValidationError as error:
        raise first_error(error, values, ClusterModelsFile) from None
    entries = [
        _entry(values, stated, number, default_name=default_name, folder=folder) for number in range(len(stated.models))
    ]
    try:
        problem = ClusterModelsProblem(
            name=stated.name or name_from_path(default_name, "problem"),
            models=tuple(entries),
            objective=Objective(preset=stated.objective) if isinstance(stated.objective, str) else stated.objective,
        )
    except ValidationError as error:
        raise first_error(error, values, ClusterModelsFile) from None
    if problem.objective.preset == "cheapest" and not problem.inventory.priced:
        unpriced = next(number for number, group in enumerate(problem.groups) if group.price_per_gpu_hour is None)
        raise ProblemError(
            f"cluster.{unpriced}.price_per_gpu_hour", "is not stated; objective cheapest needs the price of every GPU"
        )
    return problem


def _entry(
    values: Mapping[str, Any], stated: ClusterModelsFile, number: int, *, default_name: str, folder: Path | None
) -> ClusterModelEntry:
    """One model with its question on the whole inventory."""
    entry, own = stated.models[number], values["models"][number]
    asked: dict[str, Any] = {"engine": stated.engine}
    asked |= {field: own[field] for field in OF_ENTRY if field in own}
    asked |= {field: values[field] for field in OF_ALL if field in values}
    try:
        problem = inventory_from_dict(asked, default_name=default_name, folder=folder)
    except ProblemError as error:
        section = error.field.split(".")[0]
        raise ProblemError(
            error.field if section in OF_ALL else f"models.{number}.{error.field}", error.message
        ) from None
    if problem.within_s is not None:
        raise ProblemError(
            f"models.{number}.requirements.survive.within_s",
            "counts on unused GPUs, which several models would have to share after a loss; that is not modelled, leave it out",
        )
    refuse_fine_weight(number, entry.weight)
    name = entry.name or problem.model.name
    return ClusterModelEntry(name=name, weight=entry.weight, problem=problem.model_copy(update={"name": name}))


def _without_losses(values: Mapping[str, Any]) -> dict[str, Any]:
    """The file without ``survive`` of its entries, whose levels are those of the inventory and are checked with each entry."""
    plain = dict(values)
    if not isinstance(plain.get("models"), list | tuple):
        return plain
    entries = []
    for entry in plain["models"]:
        if isinstance(entry, Mapping) and isinstance(entry.get("requirements"), Mapping):
            kept = {key: value for key, value in entry["requirements"].items() if key != "survive"}
            entry = {**entry, "requirements": kept}
        entries.append(entry)
    plain["models"] = entries
    return plain


def _refuse_beside_models(values: Mapping[str, Any]) -> None:
    if "hardware" in values:
        raise ProblemError("hardware", "stands beside cluster; state one of them")
    if values.get("kind") == "chain":
        raise ProblemError("models", "are for hardware: and cluster:, not for kind: chain")
    refuse_of_one_model(values)
    if "serving" in values:
        if values["serving"] != "joint":
            raise ProblemError("serving", f"{values['serving']} is not modelled with models; leave it out")
        raise ProblemError("serving", "is joint with models; leave it out")


__all__ = ["ClusterModelsFile", "cluster_models_from_dict", "cluster_models_schema"]
