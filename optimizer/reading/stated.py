"""The problem file as it was stated, so that a change can be named by its field and a changed problem made from it.

Explanations speak of fields (``hardware.nodes``) and must show the very change that a person would make in the file. A
``Stated`` keeps the file's own values and resolves them on demand; the model is resolved once and kept.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optimizer.catalog import lookup as catalog
from optimizer.catalog.instances import FIELDS, instance_name, nodes_stated
from optimizer.facts.cost_table import CostTable
from optimizer.facts.errors import ProblemError
from optimizer.facts.file import ProblemFile
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.paths import is_there
from optimizer.facts.problem import Problem
from optimizer.reading.files import read_mapping
from optimizer.reading.load import problem_from_dict
from optimizer.writing.files import write_file
from optimizer.writing.yaml_text import yaml_text


@dataclass(frozen=True, slots=True)
class Stated:
    """Contents of a problem file, where its relative paths start, and its name when it states none."""

    values: Mapping[str, Any]
    folder: Path = Path()
    default_name: str = "problem"
    model: ModelFacts | None = None
    costs: CostTable | None = None
    """Another source of costs than the analytic model; it speaks of the stated GPU only."""

    def problem(self) -> Problem:
        """The checked problem these values describe.

        Raises:
            ProblemError: with the dotted field, the value and what would be right.
        """
        problem = problem_from_dict(self.values, default_name=self.default_name, folder=self.folder, model=self.model)
        return problem if self.costs is None else problem.model_copy(update={"costs": self.costs})

    def changed(self, changes: Mapping[str, Any]) -> Stated:
        """The same with dotted fields set, e.g. ``{"hardware.nodes": 2, "cluster.0.nodes": 2}``; None removes the field."""
        values = copy.deepcopy(dict(self.values))
        if isinstance(values.get("objective"), str) and any(field.startswith("objective.") for field in changes):
            values["objective"] = {"preset": values["objective"]}
        if isinstance(changes.get("hardware.gpu"), str) and instance_name(changes["hardware.gpu"]):
            # A whole node takes the place of the old one, with all that was stated of it.
            values["hardware"] = {k: v for k, v in values["hardware"].items() if k not in FIELDS.values()}
        for field, value in changes.items():
            *parents, last = field.split(".")
            inner: Any = values
            for parent in parents:
                if isinstance(inner, list):
                    inner = inner[int(parent)]
                    continue
                if not isinstance(inner.get(parent), dict | list):
                    inner[parent] = {}
                inner = inner[parent]
            if value is None:
                inner.pop(last, None)
            else:
                inner[last] = list(value) if isinstance(value, tuple) else value
        return replace(self, values=values, costs=None if "hardware.gpu" in changes else self.costs)

    def value(self, field: str) -> Any:
        """What the file states for a dotted field; None where it is silent."""
        inner: Any = self.values
        for part in field.split("."):
            if not isinstance(inner, Mapping) or part not in inner:
                return None
            inner = inner[part]
        return inner


def load_stated(path: str | Path) -> Stated:
    """Read a problem file without losing what it states.

    Raises:
        ProblemError: the file is missing, not readable, malformed, or states something impossible.
    """
    file = Path(path)
    stated = Stated(nodes_stated(read_mapping(file, str(path))), file.parent, file.stem)
    return replace(stated, model=stated.problem().model)


def stated_of(problem: Problem) -> Stated:
    """A statement that resolves to the given problem, for callers that have no file.

    Hardware fields that equal what the GPU's catalog entry implies count as not stated, so that another GPU brings its
    own. The model keeps its name only; its facts come along resolved.
    """
    values: dict[str, Any] = {
        "name": problem.name,
        "engine": problem.engine,
        "hardware": _hardware(problem.hardware),
        "model": problem.model.name,
    }
    for section in ("workload", "requirements", "objective", "search"):
        data = getattr(problem, section).model_dump(exclude_defaults=True)
        values[section] = {k: list(v) if isinstance(v, tuple) else v for k, v in data.items() if v is not None}
    if problem.workload.users is not None:
        del values["workload"]["requests_per_s"]
    if problem.serving != "joint":
        values["serving"] = problem.serving
    if problem.engine_version is not None:
        values["engine_version"] = problem.engine_version
    if problem.engine_overhead.anything:
        values["engine_overhead"] = problem.engine_overhead.model_dump(exclude_none=True)
    return Stated(values, default_name=problem.name, model=problem.model, costs=problem.costs)


def _hardware(hardware: HardwareFacts) -> dict[str, Any]:
    """The shortest ``hardware`` section that resolves to these facts."""
    gpu: Any = hardware.gpu.name
    try:
        known = catalog.gpu(gpu) == hardware.gpu
    except ProblemError:
        known = False
    if not known:
        gpu = hardware.gpu.model_dump()
    left_out = {"gpu", "failures", "assumed", *({"internode_gbit_per_s"} if hardware.assumed else ())}
    values = {k: v for k, v in hardware.model_dump(exclude=left_out).items() if v is not None}
    values = {"gpu": gpu, **values, "failures": hardware.failures.model_dump()}
    # A file states the GPUs built in; those that a power limit lets work follow from it.
    domain, working, built_in = hardware.nvlink_domain_gpus, hardware.gpus_per_node, hardware.built_in_per_node
    values |= {"gpus_per_node": built_in}
    values["nvlink_domain_gpus"] = domain // working * built_in if domain > working else domain
    # What spot nodes fail more often is among the failures.
    for field in (
        "idle_gpus_per_node",
        *(("pricing",) if hardware.pricing != "reserved" else ()),
        *(() if hardware.host_watts else ("host_watts",)),
    ):
        values.pop(field)
    for field in ("nvlink_domain_gpus", "nvlink_gb_per_s", "pcie_gb_per_s", "gpus_per_node"):
        shorter = {k: v for k, v in values.items() if k != field}
        try:
            same = _resolved(shorter) == hardware
        except ProblemError:
            same = False
        if same:
            values = shorter
    return values


def _resolved(values: dict[str, Any]) -> HardwareFacts:
    from optimizer.facts.file import HardwareInput
    from optimizer.reading.load import resolve_hardware

    return resolve_hardware(HardwareInput.model_validate(values))


def _refuse_malformed(values: Mapping[str, Any], folder: Path) -> None:
    from optimizer.reading.cluster_day import cluster_day_from_dict
    from optimizer.reading.cluster_models import cluster_models_from_dict
    from optimizer.reading.inventory_file import inventory_from_dict, is_inventory
    from optimizer.reading.profile import is_profile, profile_from_dict
    from optimizer.reading.several import several_from_dict

    if is_profile(values) and is_inventory(values):
        cluster_day_from_dict(values, folder=folder)
    elif is_profile(values):
        profile_from_dict(values, folder=folder)
    elif "models" in values and is_inventory(values):
        cluster_models_from_dict(values, folder=folder)
    elif "models" in values:
        several_from_dict(values, folder=folder)
    elif is_inventory(values):
        inventory_from_dict(values, folder=folder)
    else:
        ProblemFile.model_validate(values)


def write_stated(stated: Stated, path: str | Path, *, overwrite: bool = False) -> None:
    """Write the problem file (JSON for ``.json``, else YAML); comments of the original are not kept.

    The file appears whole or not at all. Relative model paths are made absolute, so that it may lie anywhere.

    Raises:
        ProblemError: the file exists and may not be overwritten, or cannot be written.
    """
    file = Path(path)
    if is_there(file) and not overwrite:
        raise ProblemError("--out", f"{path} exists already; choose another name or add --force")
    values = copy.deepcopy(dict(stated.values))
    _refuse_malformed(values, stated.folder)
    for entry in (values, *(values.get("models") or ())):
        model = entry.get("model")
        if isinstance(model, str) and is_there(stated.folder / model):
            entry["model"] = str((stated.folder / model).resolve())
    as_json = file.suffix.lower() == ".json"
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n" if as_json else yaml_text(values)
    write_file(file, [text], "--out")
