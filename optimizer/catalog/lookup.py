"""GPUs and models that ship with the product. Each is one data file; adding one needs no code."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.catalog import mig
from optimizer.catalog.model_names import meant, without_format
from optimizer.catalog.spelling import spelling
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.hardware import FailureRates, GpuFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.text import shown

_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
DATA = Path(__file__).parent / "data"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        entry: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return entry


def names(kind: str) -> list[str]:
    """Catalog names of ``"gpus"`` or ``"models"``, sorted."""
    return sorted(path.stem for path in (DATA / kind).glob("*.yaml"))


@cache
def entry(kind: str, name: str) -> dict[str, Any]:
    """The data file of a catalog name or alias; case does not matter, nor how its words are joined (RTX 3090, rtx-3090).

    Raises:
        KeyError: the catalog has no such name.
    """
    wanted = name.strip().lower()
    path = DATA / kind / f"{wanted}.yaml"
    if _FILE_NAME.fullmatch(wanted) and path.is_file():
        return _read(path)
    for other in names(kind):
        file = DATA / kind / f"{other}.yaml"
        if wanted.encode(errors="replace") in file.read_bytes():  # reading is cheap, understanding YAML is not
            found = _read(file)
            if wanted in found.get("aliases", ()):
                return found
    spelled = spelling(wanted)
    for other in names(kind):
        found = _read(DATA / kind / f"{other}.yaml")
        if spelled in {spelling(known) for known in (other, *found.get("aliases", ()))}:
            return found
    raise KeyError(name)


def gpu(name: str, field: str = "hardware.gpu") -> GpuFacts:
    """Facts of a GPU by catalog name or alias.

    Raises:
        ProblemError: the catalog has no such GPU; the message names the closest.
    """
    try:
        values = entry("gpus", name)
    except KeyError:
        cut = mig.NAME.fullmatch(name.strip())
        if cut is not None:
            return mig.slice_of(name, gpu(cut["parent"], field), field)
        raise ProblemError(field, f"no GPU {name!r} in the catalog; {closest(name, names('gpus'))}") from None
    return GpuFacts.model_validate({key: value for key, value in values.items() if key in GpuFacts.model_fields})


def model(name: str, field: str = "model") -> ModelFacts:
    """Facts of a model by catalog name or alias.

    Raises:
        ProblemError: the catalog has no such model; the message names the closest.
    """
    try:
        values = entry("models", name)
    except KeyError:
        values = _meant(name, field)
    return _read_model(values["name"])


@cache
def _read_model(name: str) -> ModelFacts:
    """The facts of an entry, once a process: a sweep or a server asks for the same model again and again."""
    values = entry("models", name)
    facts = model_from_config(
        values["config"], name=name, huggingface_id=values["huggingface_id"], field=f"model.{name}"
    )
    return facts.model_copy(update={"published_parameters": values.get("published_parameters")})


@cache
def _model_spellings() -> dict[str, tuple[str, ...]]:
    """Every other name of each model of the catalog."""
    found = {name: entry("models", name) for name in names("models")}
    return {name: (values["huggingface_id"], *values.get("aliases", ())) for name, values in found.items()}


def _meant(name: str, field: str) -> dict[str, Any]:
    """The entry of a model that is named by another of its checkpoints' names.

    Raises:
        ProblemError: no model is meant; the message says that a config.json will do.
    """
    known = _model_spellings()
    found = meant(name, known)
    if found is not None:
        return entry("models", found)
    shorter = without_format(name)
    base = meant(shorter, known) if shorter is not None else None
    if base is not None:
        raise ProblemError(
            field,
            f"{shown(name)} is a quantised checkpoint of {base}, and the catalog holds {base} as published; give the path of its "
            f"config.json, or {base} with the format in search.weight_precision",
        )
    near = difflib.get_close_matches(name.lower()[:200], list(known), n=2, cutoff=0.75)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ProblemError(
        field,
        f"no model {shown(name)} in the catalog and no such file; {hint}the path of its config.json, as Hugging Face has it, will "
        "do, and optimizer catalog models lists the names",
    )


@cache
def failure_defaults() -> FailureRates:
    """Failure rates of GPUs and hosts and the mean recovery time, with sources in ``data/failures.yaml``."""
    rates = _read(DATA / "failures.yaml")

    def mtbf(key: str) -> float:
        return float(rates[key]["exposure_hours"] / rates[key]["events"])

    return FailureRates(
        gpu_mtbf_hours=mtbf("gpu_failures_per_gpu_hour"),
        node_mtbf_hours=mtbf("host_failures_per_node_hour"),
        repair_hours=rates["recovery_hours"]["value"],
    )


@cache
def inventory_failure_defaults() -> dict[str, Any]:
    """Mean hours between failures of each kind of part with their ranges, by field of ``failures``; None: no default.

    A rack fails with its top-of-rack switch. Ranges and sources are in ``data/failures.yaml``.
    """
    rates = _read(DATA / "failures.yaml")

    def mtbf(key: str) -> dict[str, float]:
        entry = rates[key]
        exact = entry["exposure_hours"] / entry["events"] if "events" in entry else 1 / entry["value"]
        return {"value": exact, "low": 1 / entry["high"], "high": 1 / entry["low"]}

    recovery = rates["recovery_hours"]
    return {
        "gpu_mtbf_hours": mtbf("gpu_failures_per_gpu_hour"),
        "node_mtbf_hours": mtbf("host_failures_per_node_hour"),
        "rack_mtbf_hours": mtbf("tor_switch_failures_per_hour"),
        "zone_mtbf_hours": None,
        "domain_mtbf_hours": None,
        "repair_hours": {key: recovery[key] for key in ("value", "low", "high")},
    }
