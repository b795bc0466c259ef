"""The scenario file: fields of the problem file with several values each, crossed, or side by side in lists of equal length.

cross:
  hardware.gpu: [h100-sxm-80gb, a100-sxm-80gb]
  workload.requests_per_s: {from: 2, to: 16, step: 2}     # or {from: 1, to: 64, factor: 2}
  objective: [balanced, latency]
zip:
  - {workload.prompt_tokens: [512, 4096], workload.output_tokens: [128, 512]}
gpus: 1..64                                               # as --gpus, which goes before it

An inventory's groups are named: cluster.h100.nodes: [1, 2, 4].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.file import ProblemFile
from optimizer.reading.fields import known_fields
from optimizer.reading.files import read_mapping
from optimizer.reading.inventory_input import InventoryFile
from optimizer.reading.stated import Stated
from optimizer.sweeps.nodes import indexed

MOST_SCENARIOS = 1_000_000
_SECTIONS = ("cross", "zip", "gpus")

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scenarios:
    """What a scenario file asks for: the changes of each scenario, in order, and the counts it names."""

    changes: tuple[Values, ...] = ({},)
    gpus: str | None = None


def load_scenarios(path: str | Path) -> Scenarios:
    """Read a scenario file (YAML or JSON).

    Raises:
        ProblemError: not readable, or not of the form above.
    """
    return scenarios_from_dict(read_mapping(Path(path), str(path)))


def scenarios_from_dict(values: Mapping[str, Any]) -> Scenarios:
    """The same from plain data.

    Raises:
        ProblemError: not of the form above.
    """
    for name in values:
        if name not in _SECTIONS:
            raise ProblemError(
                f"scenarios.{name}", f"is not a section of a scenario file; {closest(str(name), _SECTIONS)}"
            )
    axes: list[list[Values]] = []
    for field, stated in _mapping(values.get("cross") or {}, "scenarios.cross").items():
        _known(field, "scenarios.cross")
        axes.append([{field: value} for value in _listed(stated, f"scenarios.cross.{field}")])
    zipped = values.get("zip") or []
    for number, group in enumerate([zipped] if isinstance(zipped, Mapping) else zipped):
        axes.append(_side_by_side(_mapping(group, f"scenarios.zip.{number}"), f"scenarios.zip.{number}"))
    taken: set[str] = set()
    for axis in axes:
        for field in axis[0]:
            if field in taken:
                raise ProblemError(f"scenarios: {field}", "is named twice; a field may vary in one place only")
            taken.add(field)
    many = math.prod(len(axis) for axis in axes)
    if many > MOST_SCENARIOS:
        raise ProblemError("scenarios", f"{many:,} scenarios are asked for; at most {MOST_SCENARIOS:,}")
    gpus = values.get("gpus")
    return Scenarios(tuple(_crossed(axes)), None if gpus is None else str(gpus))


def _crossed(axes: list[list[Values]]) -> Iterator[Values]:
    for chosen in itertools.product(*axes):
        yield {field: value for part in chosen for field, value in part.items()}


def _side_by_side(group: Mapping[str, Any], place: str) -> list[Values]:
    columns = {}
    for field, stated in group.items():
        _known(field, place)
        columns[field] = _listed(stated, f"{place}.{field}")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        said = ", ".join(f"{field} has {len(column)}" for field, column in columns.items())
        raise ProblemError(place, f"lists side by side must be equally long; {said or 'there is none'}")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ProblemError(
            place, f"{value!r} is not allowed; a mapping from fields such as workload.requests_per_s to values"
        )
    return value


def _known(field: Any, place: str) -> None:
    known = list(dict.fromkeys((*ProblemFile.model_fields, *InventoryFile.model_fields)))
    if not isinstance(field, str) or field.split(".")[0] not in known:
        raise ProblemError(f"{place}.{field}", f"is not a field of the problem file; {closest(str(field), known)}")
    parts = field.split(".")
    # Of cluster the second part is a number or the name of a group.
    levels = [(parts[:1], parts[2])] if parts[0] == "cluster" and len(parts) > 2 else []
    levels += [(parts[:depth], parts[depth]) for depth in range(1, len(parts)) if parts[0] != "cluster"]
    for above, part in levels:
        inner = {name for schema in (ProblemFile, InventoryFile) for name in known_fields(above, schema)}
        if inner and part not in inner and not part.isdigit():
            raise ProblemError(f"{place}.{field}", f"{part!r} is not a field of {above[-1]}; {closest(part, inner)}")


def _listed(stated: Any, place: str) -> list[Any]:
    """The values of a field: a list, or a range with a step or a factor."""
    if isinstance(stated, list) and stated:
        return stated
    if isinstance(stated, Mapping) and {"from", "to"} <= set(stated) <= {"from", "to", "step", "factor"}:
        return _range(stated, place)
    raise ProblemError(
        place,
        f"{stated!r} is not allowed; a list of values, or {{from: 2, to: 16, step: 2}}, or {{from: 1, to: 64, factor: 2}}",
    )


def _range(stated: Mapping[str, Any], place: str) -> list[Any]:
    numbers = list(stated.values())
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not math.isfinite(v) for v in numbers):
        raise ProblemError(place, f"{dict(stated)} is not allowed; numbers are needed")
    first, last = stated["from"], stated["to"]
    step, factor = stated.get("step"), stated.get("factor")
    fine = (step is None) != (factor is None) and first <= last
    if not fine or (step is not None and step <= 0) or (factor is not None and (factor <= 1 or first <= 0)):
        raise ProblemError(
            place, f"{dict(stated)} is not allowed; from must not exceed to, with a step above 0 or a factor above 1"
        )
    # Each value from the first by itself, so that no rounding adds up; the last counts when rounding alone keeps it out.
    if factor is not None:
        many = math.floor(math.log(last / first, factor) + 1e-9)
        values = [first * factor**i for i in range(min(many, MOST_SCENARIOS) + 1)]
    else:
        many = math.floor((last - first) / stated["step"] + 1e-9)
        values = [first + i * stated["step"] for i in range(min(many, MOST_SCENARIOS) + 1)]
    if many >= MOST_SCENARIOS:
        raise ProblemError(place, f"names more than {MOST_SCENARIOS:,} values")
    return [value if isinstance(value, int) else float(f"{value:.12g}") for value in values]


OF_THE_GPU = (
    "hardware.gpus_per_node", "hardware.nvlink_gb_per_s", "hardware.nvlink_domain_gpus", "hardware.pcie_gb_per_s",
    "hardware.price_per_gpu_hour", "hardware.price_per_node_hour",
)  # fmt: skip
"""Fields that speak of the stated GPU type's systems."""


def applied(stated: Stated, changes: Values) -> tuple[Stated, str | None]:
    """The problem file of a scenario, and what was set aside, for people.

    Another GPU type brings its own links, node size and price from the catalog: those stated are of the stated type's systems.
    A field that the scenario names itself is kept.
    """
    changes = indexed(stated.values, changes)
    gpu, before = changes.get("hardware.gpu"), stated.value("hardware.gpu")
    if gpu is None or _gpu_name(gpu) == _gpu_name(before):
        return stated.changed(changes), None
    aside = [field for field in OF_THE_GPU if field not in changes and stated.value(field) is not None]
    said = None
    if aside:
        said = (
            f"{', '.join(aside)} as stated for {_gpu_name(before)}; for {_gpu_name(gpu)} the catalog's own were used."
        )
    return stated.changed({**changes, **dict.fromkeys(aside)}), said


def _gpu_name(gpu: Any) -> str:
    """The catalog's name of a GPU, so that an alias is no other type; what is unknown is refused where it is resolved."""
    if isinstance(gpu, Mapping):
        return str(gpu.get("name"))
    try:
        return catalog.gpu(str(gpu)).name
    except ProblemError:
        return str(gpu)


def scenario_name(changes: Values) -> str:
    """A scenario by its values, e.g. ``gpu=h100-sxm-80gb, requests_per_s=8``; fields by their last word where it is unique."""
    last = [".".join(field.split(".")[-2 if field.startswith("cluster.") else -1 :]) for field in changes]
    words = []
    for field, short in zip(changes, last, strict=True):
        words.append(f"{short if last.count(short) == 1 else field}={_word(changes[field])}")
    return ", ".join(words)


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or " ".join(f"{key} {_word(inner)}" for key, inner in value.items()))
    if isinstance(value, list):
        return "+".join(_word(inner) for inner in value)
    if isinstance(value, float):
        return f"{value:.12g}"
    return "none" if value is None else str(value)
