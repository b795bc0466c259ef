"""A problem file of any kind: equal nodes (``hardware:``), several models on them (``models:``), an inventory (``cluster:``) or a chain
(``kind: chain``).

Everything that is asked starts here, so that no command and no caller has to know beforehand which kind a file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from optimizer.catalog.instances import nodes_stated
from optimizer.facts.errors import ProblemError
from optimizer.reading.files import read_mapping
from optimizer.reading.load import problem_from_dict as uniform_from_dict
from optimizer.reading.stated import Stated

if TYPE_CHECKING:
    from optimizer.facts.chain import ChainProblem
    from optimizer.facts.cluster_day import ClusterDayProblem
    from optimizer.facts.cluster_models import ClusterModelsProblem
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.facts.profile import ProfileProblem
    from optimizer.facts.several import SeveralProblem

    AnyProblem: TypeAlias = (
        Problem
        | InventoryProblem
        | ChainProblem
        | SeveralProblem
        | ClusterModelsProblem
        | ProfileProblem
        | ClusterDayProblem
    )

Kind = Literal["uniform", "inventory", "chain", "models", "day"]


@dataclass(frozen=True, slots=True)
class Question:
    """A checked problem with its kind, and the file as it was stated, by whose fields changes are named."""

    kind: Kind
    problem: AnyProblem
    stated: Stated


def kind_of_values(values: Mapping[str, Any]) -> Kind:
    """The kind of problem that the contents of a file state."""
    if "models" in values:
        return "models"
    workload = values.get("workload")
    if isinstance(workload, Mapping) and "profile" in workload:
        return "day"
    if values.get("kind") == "chain":
        return "chain"
    return "inventory" if "cluster" in values and "hardware" not in values else "uniform"


def kind_of(problem: AnyProblem) -> Kind:
    """The kind of a checked problem.

    Raises:
        TypeError: it is no problem.
    """
    from optimizer.facts.problem import Problem

    if isinstance(problem, Problem):
        return "uniform"
    from optimizer.facts.inventory import InventoryProblem

    if isinstance(problem, InventoryProblem):
        return "inventory"
    from optimizer.facts.chain import ChainProblem

    if isinstance(problem, ChainProblem):
        return "chain"
    from optimizer.facts.several import SeveralProblem

    if isinstance(problem, SeveralProblem):
        return "models"
    from optimizer.facts.cluster_models import ClusterModelsProblem

    if isinstance(problem, ClusterModelsProblem):
        return "models"
    from optimizer.facts.profile import ProfileProblem

    if isinstance(problem, ProfileProblem):
        return "day"
    from optimizer.facts.cluster_day import ClusterDayProblem

    if isinstance(problem, ClusterDayProblem):
        return "day"
    raise TypeError(f"a problem from load_problem is needed, not {type(problem).__name__}")


def question_from_dict(values: Mapping[str, Any], *, default_name: str = "problem", folder: Path = Path()) -> Question:
    """Check a problem of any kind that is given as plain data.

    Args:
        values: the contents of a problem file.
        default_name: the name where none is stated.
        folder: where relative paths to models start.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    kind = kind_of_values(values)
    if kind == "models":
        if "cluster" in values and "hardware" not in values:
            from optimizer.reading.cluster_models import cluster_models_from_dict

            shared = cluster_models_from_dict(values, default_name=default_name, folder=folder)
            return Question(kind, shared, Stated(nodes_stated(values), folder, default_name))
        from optimizer.reading.several import several_from_dict

        several = several_from_dict(values, default_name=default_name, folder=folder)
        return Question(kind, several, Stated(nodes_stated(values), folder, default_name))
    if kind == "day" and "cluster" in values and "hardware" not in values:
        from optimizer.reading.cluster_day import cluster_day_from_dict

        of_inventory = cluster_day_from_dict(values, default_name=default_name, folder=folder)
        return Question(kind, of_inventory, Stated(nodes_stated(values), folder, default_name))
    if kind == "day":
        from optimizer.reading.profile import profile_from_dict

        day = profile_from_dict(values, default_name=default_name, folder=folder)
        return Question(kind, day, Stated(nodes_stated(values), folder, default_name))
    if kind == "chain" and values.get("serving", "joint") != "joint":
        raise ProblemError(
            "serving",
            f"{values['serving']} is not for kind: chain; leave it out, or state joint, or hardware: or cluster:",
        )
    if kind == "chain" and "serving" in values:
        values = {name: value for name, value in values.items() if name != "serving"}
    stated = Stated(values, folder, default_name)
    if kind == "chain":
        from optimizer.reading.chain import chain_from_dict

        return Question(kind, chain_from_dict(values, default_name=default_name, folder=folder), stated)
    if kind == "inventory":
        from optimizer.reading.inventory_file import inventory_from_dict

        return Question(kind, inventory_from_dict(values, default_name=default_name, folder=folder), stated)
    problem = uniform_from_dict(values, default_name=default_name, folder=folder)
    return Question(kind, problem, Stated(nodes_stated(values), folder, default_name, model=problem.model))


def load_question(path: str | Path) -> Question:
    """Read and check a problem file of any kind.

    Raises:
        ProblemError: the file is missing, not readable, malformed, or states something impossible.
    """
    file = Path(path)
    return question_from_dict(read_mapping(file, str(path)), default_name=file.stem, folder=file.parent)


def load_problem(path: str | Path) -> AnyProblem:
    """Read, check and resolve a problem file of any kind; which one it is, is its type.

    Args:
        path: a YAML or JSON file; relative paths to models in it are relative to the file.

    Returns:
        A ``Problem`` (``hardware:``), a ``ProfileProblem`` (the same with ``workload.profile``), a ``SeveralProblem``
        (``models:``; with ``cluster:`` a ``ClusterModelsProblem``), an ``InventoryProblem`` (``cluster:``) or a ``ChainProblem``
        (``kind: chain``).

    Raises:
        ProblemError: the file is missing, not readable, malformed, or states something impossible.
    """
    return load_question(path).problem


def problem_from_dict(values: Mapping[str, Any], *, default_name: str = "problem", folder: Path = Path()) -> AnyProblem:
    """The same for plain data. Raises ``ProblemError``."""
    return question_from_dict(values, default_name=default_name, folder=folder).problem
